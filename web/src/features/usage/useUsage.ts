import { useEffect, useState } from "react";
import type { Client } from "../../api/client";
import type { MonthUsage, Usage } from "../../api/types";
import { monthOf } from "./words";

export interface ThisMonth extends Pick<MonthUsage, "num_images" | "num_steps" | "gpu_s"> {
  /** GPU-seconds that are left of the month's quota; null: there is none. */
  left_s: number | null;
  quota_s: number | null;
}

/** What I used this month, asked for again whenever `last`, my newest picture, is another. Null while it is not known. */
export function useUsage(client: Client, last: string | null): ThisMonth | null {
  const [usage, setUsage] = useState<ThisMonth | null>(null);

  useEffect(() => {
    const leaving = new AbortController();
    // without an answer the last one stays: the rest of the page says that the server is away
    client.usage(monthOf(new Date()), leaving.signal).then((told) => setUsage(thisMonth(told)), () => {});
    return () => leaving.abort();
  }, [client, last]);

  return usage;
}

function thisMonth({ months, quota_s }: Usage): ThisMonth {
  const { num_images, num_steps, gpu_s } = months[0] ?? { num_images: 0, num_steps: 0, gpu_s: 0 };
  return { num_images, num_steps, gpu_s, quota_s, left_s: quota_s === null ? null : Math.max(0, quota_s - gpu_s) };
}
