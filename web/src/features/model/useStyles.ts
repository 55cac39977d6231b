import { useEffect, useState } from "react";
import type { Client } from "../../api/client";
import type { Style } from "../../api/types";

const NONE: readonly Style[] = [];

/** The styles that I may ask for with the model of this name; null while they are not known. */
export function useStyles(client: Client, model: string | null): readonly Style[] | null {
  const [found, setFound] = useState<{ model: string; styles: readonly Style[] } | null>(null);

  useEffect(() => {
    if (model === null) return;
    const leaving = new AbortController();
    client.styles(model, leaving.signal).then(
      (styles) => setFound({ model, styles }),
      () => setFound({ model, styles: NONE }), // a picture can be made without one
    );
    return () => leaving.abort();
  }, [client, model]);

  return found !== null && found.model === model ? found.styles : null;
}
