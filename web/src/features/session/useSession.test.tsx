// @vitest-environment jsdom
import { act, cleanup, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, expect, test } from "vitest";
import { answer, json, refusal } from "../../testing/gateway";
import { SignIn } from "./SignIn";
import { useSession } from "./useSession";

const me = () => json({ tenant: "studio", tier: "pro", step_budget: 80 });
const signInRequired = () => refusal(403, "sign_in_required", "Sign in.", "Paste a token.");

function Door() {
  const session = useSession();
  if (session.isOpening) return null;
  if (session.client === null) return <SignIn session={session} />;
  const { client, signOut } = session;
  return (
    <>
      <p>inside</p>
      <button onClick={() => void client.me().catch(() => {})}>ask</button>
      <button onClick={signOut}>leave</button>
    </>
  );
}

beforeEach(() => {
  sessionStorage.clear();
  history.replaceState(null, "", "/");
});
afterEach(cleanup);

test("a server in --dev lets one in without a token", async () => {
  answer({ "POST /v1/session": () => json({ token: "dev", expires_at: "2026-01-02T03:04:05Z" }) });
  render(<Door />);
  await screen.findByText("inside");
  expect(sessionStorage.getItem("mezzotint.token")).toBe("dev");
});

test("a token in the address is used and taken out of it", async () => {
  history.replaceState(null, "", "/?a=1#token=secret");
  const seen = answer({ "GET /v1/me": me });
  render(<Door />);
  await userEvent.click(await screen.findByText("ask"));
  expect(seen[0]?.token).toBe("Bearer secret");
  expect(location.href).toMatch(/\/\?a=1$/);
});

test("elsewhere a pasted token opens the door, once the server takes it", async () => {
  const answers = [() => refusal(401, "token_invalid", "The token is not valid.", "Ask for a new one."), me];
  answer({ "POST /v1/session": signInRequired, "GET /v1/me": () => answers.shift()!() });
  render(<Door />);
  const box = await screen.findByLabelText("Token");
  await userEvent.type(box, "wrong");
  await userEvent.click(screen.getByText("Sign in", { selector: "button" }));
  expect((await screen.findByText("Ask for a new one.")).closest("[role=alert]")).not.toBeNull();
  await userEvent.clear(box);
  await userEvent.type(box, " right ");
  await userEvent.click(screen.getByText("Sign in", { selector: "button" }));
  await screen.findByText("inside");
  expect(sessionStorage.getItem("mezzotint.token")).toBe("right");
});

test("asked for a session that only --dev gives, the server's no is shown", async () => {
  answer({ "POST /v1/session": signInRequired });
  render(<Door />);
  await screen.findByLabelText("Token");
  expect(screen.queryByText("Paste a token.")).toBeNull();
  await userEvent.click(screen.getByText("Sign in on this computer"));
  await screen.findByText("Paste a token.");
});

test("a token that stops working brings the door back, with the reason", async () => {
  const expired = () => refusal(401, "token_expired", "The token has expired.", "Sign in again.");
  answer({ "POST /v1/session": () => json({ token: "dev", expires_at: "" }), "GET /v1/me": expired });
  render(<Door />);
  await userEvent.click(await screen.findByText("ask"));
  await screen.findByText("The token has expired.");
  expect(sessionStorage.getItem("mezzotint.token")).toBeNull();
});

test("signing out forgets the token and does not sign in by itself", async () => {
  const seen = answer({ "POST /v1/session": () => json({ token: "dev", expires_at: "" }) });
  render(<Door />);
  await userEvent.click(await screen.findByText("leave"));
  await act(() => Promise.resolve());
  expect(screen.getByLabelText("Token")).toBeTruthy();
  expect(sessionStorage.getItem("mezzotint.token")).toBeNull();
  expect(seen).toHaveLength(1);
});
