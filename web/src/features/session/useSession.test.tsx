// @vitest-environment jsdom
import { act, cleanup, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, expect, test } from "vitest";
import { answer, json, refusal } from "../../testing/gateway";
import { SignIn } from "./SignIn";
import { TokenOffer } from "./TokenOffer";
import { useSession } from "./useSession";

const me = () => json({ tenant: "studio", tier: "pro", step_budget: 80 });
const signInRequired = () => refusal(403, "sign_in_required", "Sign in.", "Paste a token.");

function Door() {
  const session = useSession();
  if (session.offer !== null) return <TokenOffer offer={session.offer} />;
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

const healthy =
  (canSignUp: boolean, hasProvider = false) =>
  () =>
    json({
      status: "ok",
      version: "1",
      model: { name: "m", state: "ready" },
      can_sign_up: canSignUp,
      has_provider: hasProvider,
    });

async function fillIn(name: string, password: string, button: string) {
  await userEvent.clear(await screen.findByLabelText("Name or e-mail"));
  await userEvent.clear(screen.getByLabelText("Password"));
  await userEvent.type(screen.getByLabelText("Name or e-mail"), name);
  await userEvent.type(screen.getByLabelText("Password"), password);
  await userEvent.click(screen.getByText(button, { selector: "button" }));
}

beforeEach(() => {
  sessionStorage.clear();
  localStorage.clear();
  history.replaceState(null, "", "/");
});
afterEach(cleanup);

test("a server in --dev lets one in without a token", async () => {
  answer({ "POST /v1/session": () => json({ token: "dev", expires_at: "2026-01-02T03:04:05Z" }) });
  render(<Door />);
  await screen.findByText("inside");
  expect(sessionStorage.getItem("mezzotint.token")).toBe("dev");
});

test("a token in the address leaves it at once and signs in only when that is confirmed", async () => {
  history.replaceState(null, "", "/?a=1#token=secret");
  const seen = answer({ "GET /v1/me": me });
  render(<Door />);
  expect(location.href).toMatch(/\/\?a=1$/);
  await screen.findByText(/^Sign in as studio on /);
  expect(sessionStorage).toHaveLength(0);
  expect(screen.queryByText("inside")).toBeNull();
  await userEvent.click(screen.getByRole("button", { name: "Sign in as studio" }));
  await userEvent.click(await screen.findByText("ask"));
  expect(seen.at(-1)?.token).toBe("Bearer secret");
  expect(sessionStorage.getItem("mezzotint.token")).toBe("secret");
});

test("a link's token that is declined is forgotten, and the page opens as without it", async () => {
  history.replaceState(null, "", "/#token=secret");
  const seen = answer({ "GET /v1/me": me, "POST /v1/session": signInRequired, "GET /healthz": healthy(false) });
  render(<Door />);
  await userEvent.click(await screen.findByRole("button", { name: "Cancel" }));
  await screen.findByLabelText("Password");
  expect(sessionStorage).toHaveLength(0);
  expect(seen.filter((request) => request.token === "Bearer secret")).toHaveLength(1);
});

for (const [kind, store, key] of [
  ["token", sessionStorage, "mezzotint.token"],
  ["cookie", localStorage, "mezzotint.session"],
] as const) {
  test(`a link replaces no ${kind} session unless that is confirmed`, async () => {
    store.setItem(key, "mine");
    history.replaceState(null, "", "/#token=theirs");
    const seen = answer({ "GET /v1/me": me });
    render(<Door />);
    expect((await screen.findByText(/A link brought you here/)).textContent).toContain("your present session");
    expect(store.getItem(key)).toBe("mine");
    await userEvent.click(screen.getByRole("button", { name: "Cancel" }));
    await userEvent.click(await screen.findByText("ask"));
    expect(seen.at(-1)?.token).toBe(kind === "token" ? "Bearer mine" : null);
    expect(store.getItem(key)).toBe("mine");
  });
}

test("a link that is followed while the page is open asks, too", async () => {
  sessionStorage.setItem("mezzotint.token", "mine");
  answer({ "GET /v1/me": me });
  render(<Door />);
  await screen.findByText("inside");
  location.hash = "#token=theirs";
  await screen.findByText(/^Sign in as studio on /);
  expect(location.hash).toBe("");
  expect(sessionStorage.getItem("mezzotint.token")).toBe("mine");
  await userEvent.click(screen.getByRole("button", { name: "Cancel" }));
  await screen.findByText("inside");
});

test("a link that is followed while another's token is being taken asks, too", async () => {
  history.replaceState(null, "", "/#token=first");
  let letIn = () => {};
  const answers = [me(), new Promise<Response>((resolve) => (letIn = () => resolve(me()))), me()];
  answer({ "GET /v1/me": () => answers.shift() ?? me() });
  render(<Door />);
  await userEvent.click(await screen.findByRole("button", { name: "Sign in as studio" }));
  location.hash = "#token=second";
  await screen.findByText(/^Sign in as studio on /);
  await act(async () => letIn());
  await screen.findByText(/your present session/);
  expect(sessionStorage.getItem("mezzotint.token")).toBe("first");
});

test("a link with a token that the server does not take keeps the session that is there", async () => {
  sessionStorage.setItem("mezzotint.token", "mine");
  history.replaceState(null, "", "/#token=stale");
  answer({ "GET /v1/me": () => refusal(401, "token_invalid", "The token is not valid.", "Ask for a new one.") });
  render(<Door />);
  await screen.findByText("inside");
  expect(sessionStorage.getItem("mezzotint.token")).toBe("mine");
});

test("without a session such a link says what is wrong with its token", async () => {
  history.replaceState(null, "", "/#token=stale");
  answer({ "GET /v1/me": () => refusal(401, "token_invalid", "The token is not valid.", "Ask for a new one.") });
  render(<Door />);
  await screen.findByText("Ask for a new one.");
  expect(sessionStorage).toHaveLength(0);
});

test("elsewhere a pasted token opens the door, once the server takes it", async () => {
  const answers = [() => refusal(401, "token_invalid", "The token is not valid.", "Ask for a new one."), me];
  answer({ "POST /v1/session": signInRequired, "GET /v1/me": () => answers.shift()!() });
  render(<Door />);
  const box = await screen.findByLabelText("Token");
  await userEvent.type(box, "wrong");
  await userEvent.click(screen.getByText("Use the token"));
  expect((await screen.findByText("Ask for a new one.")).closest("[role=alert]")).not.toBeNull();
  await userEvent.clear(box);
  await userEvent.type(box, " right ");
  await userEvent.click(screen.getByText("Use the token"));
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
  expect(seen.map((request) => request.path)).not.toContain("/v1/sign-out");
});

test("a name and its password open a session that outlives the tab's storage, and signing out ends it", async () => {
  const answers = [() => refusal(401, "password_wrong", "Wrong.", "Check both."), me];
  const seen = answer({
    "POST /v1/session": signInRequired,
    "GET /healthz": healthy(false),
    "POST /v1/sign-in": () => answers.shift()!(),
    "GET /v1/me": me,
    "POST /v1/sign-out": () => new Response(null, { status: 204 }),
  });
  const first = render(<Door />);
  await fillIn("ada", "not it", "Sign in");
  expect((await screen.findByText("Check both.")).closest("[role=alert]")).not.toBeNull();
  await fillIn(" ada@example.org ", "four words in a row", "Sign in");
  await screen.findByText("inside");
  const sent = seen.filter((request) => request.path === "/v1/sign-in").at(-1);
  expect(sent?.body).toEqual({ name: "ada@example.org", password: "four words in a row" });
  expect([...Object.values(localStorage), ...Object.values(sessionStorage)].join()).not.toContain("four words");

  first.unmount();
  render(<Door />);
  await userEvent.click(await screen.findByText("ask"));
  expect(seen.at(-1)).toMatchObject({ path: "/v1/me", token: null });
  await userEvent.click(screen.getByText("leave"));
  await screen.findByLabelText("Password");
  expect(seen.some((request) => request.path === "/v1/sign-out")).toBe(true);
  expect(localStorage).toHaveLength(0);
});

test("a session that is over brings the form back", async () => {
  localStorage.setItem("mezzotint.session", "yes");
  const over = () => refusal(401, "session_invalid", "The session is over.", "Sign in again.");
  answer({ "POST /v1/session": signInRequired, "GET /healthz": healthy(false), "GET /v1/me": over });
  render(<Door />);
  await userEvent.click(await screen.findByText("ask"));
  await screen.findByLabelText("Password");
  expect(localStorage).toHaveLength(0);
});

test("an account can be made where the server lets strangers in, and only there", async () => {
  const routes = { "POST /v1/session": signInRequired, "POST /v1/sign-up": () => json({}, 201), "GET /v1/me": me };
  answer({ ...routes, "GET /healthz": healthy(false) });
  const closed = render(<Door />);
  await screen.findByLabelText("Password");
  await act(() => Promise.resolve());
  expect(screen.queryByText("Make an account")).toBeNull();
  closed.unmount();
  const seen = answer({ ...routes, "GET /healthz": healthy(true) });
  render(<Door />);
  await userEvent.click(await screen.findByText("Make an account"));
  expect(screen.getByLabelText("Password").getAttribute("autocomplete")).toBe("new-password");
  await fillIn("eve", "four words in a row", "Sign up");
  await screen.findByText("inside");
  expect(seen.at(-1)?.path).toBe("/v1/sign-up");
});

test("a server with a provider offers its sign-in, and a browser that comes back is in", async () => {
  answer({ "POST /v1/session": signInRequired, "GET /healthz": healthy(false, true) });
  const { unmount } = render(<Door />);
  const link = await screen.findByRole("link", { name: "Sign in with your organisation" });
  expect(link.getAttribute("href")).toBe("/v1/sign-in/provider");
  unmount();
  history.replaceState(null, "", "/#signed-in");
  render(<Door />);
  await screen.findByText("inside");
  expect(location.hash).toBe("");
});

test("a sign-in that the provider refused is told", async () => {
  history.replaceState(null, "", "/#sign-in-failed");
  answer({ "GET /healthz": healthy(false, true) });
  render(<Door />);
  await screen.findByText(/organisation's sign-in did not work/);
  expect(location.hash).toBe("");
});
