import { useState } from "react";
import { problemOf } from "../../api/failure";
import type { Problem } from "../../api/types";
import { ProblemNote } from "../problem/ProblemNote";
import type { OfferedToken } from "./useSession";

/** Asks before a token from a link signs anybody in: whoever sent the link would see what is made under it. */
export function TokenOffer({ offer }: { offer: OfferedToken }) {
  const [problem, setProblem] = useState<Problem | null>(null);

  return (
    <main className="sign-in" aria-labelledby="token-offer">
      <h2 id="token-offer">
        Sign in as {offer.tenant} on {location.host}?
      </h2>
      <p>
        A link brought you here with a token ({offer.tenant}, {offer.tier}). Sign in only if you expected it: pictures
        that you make then belong to {offer.tenant}
        {offer.replacesSession && ", and it takes the place of your present session in this tab"}.
      </p>
      <ProblemNote problem={problem} />
      <div className="actions">
        <button type="button" onClick={offer.decline} autoFocus>
          Cancel
        </button>
        <button
          type="button"
          className="primary"
          onClick={() => void offer.accept().catch((error: unknown) => setProblem(problemOf(error)))}
        >
          Sign in as {offer.tenant}
        </button>
      </div>
    </main>
  );
}
