import { useEffect, useState } from "react";
import { health, type Client } from "../../api/client";
import { Failure, problemOf } from "../../api/failure";
import type { Model, Problem } from "../../api/types";

const RETRY_MS = 2_000;

export interface ModelView {
  model: Model | null;
  /** All models that can be asked for, the default first; empty while they are not known. */
  names: readonly string[];
  /** How much of its weights is read, 0 to 1, while that is known. */
  share: number | null;
  /** False while the server still loads the weights; jobs wait for them. */
  isReady: boolean;
  problem: Problem | null;
}

/** The model of this name, or the default where it is not served: asked for until the server answers and its weights are loaded. */
export function useModel(client: Client, name: string | null): ModelView {
  const [view, setView] = useState<ModelView>({ model: null, names: [], share: null, isReady: true, problem: null });

  useEffect(() => {
    const leaving = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    let model: Model | null = null;
    let names: readonly string[] = [];

    async function look() {
      try {
        if (model === null) {
          const listed = await client.models(leaving.signal);
          model = await client.model(listed.find((one) => one.id === name)?.id ?? null, leaving.signal);
          names = listed.map((one) => one.id);
        }
        const { state, share } = (await health(leaving.signal)).model;
        setView({ model, names, share, isReady: state === "ready", problem: null });
        if (state === "ready") return;
      } catch (error) {
        if (leaving.signal.aborted) return;
        setView((known) => ({ ...known, problem: problemOf(error) }));
        if (error instanceof Failure && error.isFinal) return;
      }
      timer = setTimeout(() => void look(), RETRY_MS);
    }

    void look();
    return () => {
      leaving.abort();
      clearTimeout(timer);
    };
  }, [client, name]);

  return view;
}
