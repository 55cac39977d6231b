/** The right to hold one event stream open. */
export interface StreamSlot {
  release(): void;
}

export interface StreamSlots {
  /** Null when all are taken. */
  take(): StreamSlot | null;
}

/** A browser opens six HTTP/1.1 connections to a server: more streams than this would leave none for requests. */
export const MAX_STREAMS = 3;

export function createStreamSlots(max: number = MAX_STREAMS): StreamSlots {
  let free = max;
  return {
    take() {
      if (free === 0) return null;
      free -= 1;
      let isHeld = true;
      return {
        release() {
          if (isHeld) free += 1;
          isHeld = false;
        },
      };
    },
  };
}
