import { useEffect, useState, type ComponentProps } from "react";

const FIRST_RETRY_MS = 1_000;
const MOST_RETRIES = 6;

/** A picture that is asked for again where it did not arrive: after a while, and when the network is back. */
export function Picture({ alt, ...rest }: ComponentProps<"img"> & { alt: string }) {
  const [tries, setTries] = useState(0);
  const [isBroken, setIsBroken] = useState(false);

  useEffect(() => {
    if (!isBroken) return;
    function ask() {
      setIsBroken(false);
      setTries((before) => before + 1);
    }
    const timer = tries < MOST_RETRIES ? setTimeout(ask, FIRST_RETRY_MS * 2 ** tries) : undefined;
    addEventListener("online", ask);
    return () => {
      clearTimeout(timer);
      removeEventListener("online", ask);
    };
  }, [isBroken, tries]);

  return <img key={tries} alt={alt} {...rest} onError={() => setIsBroken(true)} />;
}
