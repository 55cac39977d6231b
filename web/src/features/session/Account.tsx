import { useEffect, useState } from "react";
import type { Client } from "../../api/client";
import type { Me } from "../../api/types";

/** Who I am to the server and how many steps a picture of mine may take. */
export function Account({ client, onSignOut }: { client: Client; onSignOut: () => void }) {
  const [me, setMe] = useState<Me | null>(null);

  useEffect(() => {
    const leaving = new AbortController();
    // without an answer the line stays empty: the rest of the page says that the server is away
    client.me(leaving.signal).then(setMe, () => setMe(null));
    return () => leaving.abort();
  }, [client]);

  return (
    <p className="account">
      {me !== null && (
        <span className="quiet">
          {me.tenant}, {me.tier}, up to {me.step_budget} steps
        </span>
      )}
      <button type="button" className="plain" onClick={onSignOut}>
        Sign out
      </button>
    </p>
  );
}
