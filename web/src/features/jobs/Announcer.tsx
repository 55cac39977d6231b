import { useEffect, useRef, useState } from "react";
import { title } from "../prompt/words";
import { isOver, type Entry } from "./entries";
import { describe, isFinal } from "./state";

const MOST_AT_ONCE = 3;

interface Props {
  entries: readonly Entry[];
  /** The picture that was chosen to be looked at. */
  chosen: string | null;
}

/** Tells screen readers how the jobs get on, at each quarter and not at each step, and which picture is shown. */
export function Announcer({ entries, chosen }: Props) {
  const [words, say] = useState("");
  const told = useRef(new Map<string, string>());

  useEffect(() => {
    const now = new Map(entries.map((entry) => [entry.job.id, announcement(entry)]));
    const changed = [...now].filter(([id, text]) => told.current.get(id) !== text).map(([, text]) => text);
    told.current = now;
    if (changed.length > MOST_AT_ONCE) say(`${entries.filter((entry) => !isOver(entry)).length} pictures in the works`);
    else if (changed.length > 0) say(changed.join(". "));
  }, [entries]);

  useEffect(() => {
    if (chosen !== null) say(`Showing ${chosen}`);
  }, [chosen]);

  return (
    <p className="unseen" role="status">
      {words}
    </p>
  );
}

export function announcement({ job, isLost }: Entry): string {
  const name = title(job.prompt);
  if (isLost) return `${name}: connection lost, trying again`;
  if (job.state !== "running") return `${name}: ${isFinal(job) ? describe(job) : "waiting"}`;
  const quarters = Math.floor((4 * job.step) / Math.max(1, job.num_steps));
  return quarters === 0 ? `${name}: started` : `${name}: ${25 * quarters} percent`;
}
