import { useState } from "react";
import type { Origin } from "../../api/types";

interface Props {
  /** Reads the origins of the job's pictures. */
  load: () => Promise<readonly Origin[]>;
  png: string;
}

/** What the picture's file tells of its origin to everybody who gets it; read when it is opened. */
export function Provenance({ load, png }: Props) {
  const [told, setTold] = useState("Reading the file …");
  return (
    <details
      className="provenance"
      onToggle={(event) => {
        if (!event.currentTarget.open) return;
        load().then(
          (origins) => setTold(describe(origins.find((origin) => origin.png === png))),
          () => setTold("They cannot be read at the moment."),
        );
      }}
    >
      <summary>Content credentials</summary>
      <p className="quiet">{told}</p>
    </details>
  );
}

const VERDICTS: Record<Origin["validity"], string> = {
  trusted: "Signed; the signer is trusted here",
  valid: "Signed; the signer is not trusted here",
  invalid: "Changed after signing",
  absent: "The file has none",
};

export function describe(origin: Origin | undefined): string {
  if (origin === undefined || origin.validity === "absent") return `${VERDICTS.absent}.`;
  const facts = [
    VERDICTS[origin.validity],
    origin.signer && `by ${origin.signer}`,
    origin.model && `made with ${origin.model}`,
    origin.made_at && `on ${new Date(origin.made_at).toLocaleString()}`,
    origin.source_sha256 && "from another picture",
    origin.recipe ? "with its prompt" : "without its prompt",
  ];
  return `${facts.filter(Boolean).join(", ")}.`;
}
