// @vitest-environment jsdom
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { aJob, answer, json, refusal, sockets } from "../testing/gateway";
import { createClient } from "./client";
import { followFeed, type FeedNews } from "./feed";

const me = { "GET /v1/me": () => json({ tenant: "ada" }) };
let socket: ReturnType<typeof sockets>;
let stop: AbortController;
let told: FeedNews[];

beforeEach(() => {
  vi.useFakeTimers();
  socket = sockets();
  stop = new AbortController();
  told = [];
});
afterEach(() => {
  stop.abort();
  vi.useRealTimers();
});

function follow(token: string | null = "t"): void {
  void followFeed({ client: createClient(token), name: null, signal: stop.signal, onNews: (news) => told.push(news) });
}
const kinds = () => told.map((news) => news.type);

test("a token goes along as a subprotocol, and a cookie by itself", () => {
  follow("t.o.k");
  follow(null);
  expect(socket.opened.map(({ protocols }) => protocols)).toEqual([["mezzotint", "bearer.t.o.k"], ["mezzotint"]]);
  expect(socket.opened[0]?.address).toMatch(/^ws:.*\/v1\/ws$/);
});

test("what the socket says is told; a socket that ends is replaced", async () => {
  answer(me);
  follow();
  await socket.hello();
  await socket.tell(aJob());
  socket.drop();
  await vi.advanceTimersByTimeAsync(600);
  expect(socket.opened).toHaveLength(2);
  await socket.hello();
  expect(kinds()).toEqual(["hello", "job", "hello"]);
});

test("a server that is away is lost once a try, and found again though no socket gets through", async () => {
  answer({});
  follow();
  socket.drop();
  await vi.advanceTimersByTimeAsync(0);
  expect(kinds()).toEqual(["lost"]);
  answer(me);
  await vi.advanceTimersByTimeAsync(600);
  socket.drop();
  await vi.advanceTimersByTimeAsync(0);
  expect(kinds()).toEqual(["lost", "hello"]);
});

test("a refusal is not a lost connection", async () => {
  answer({ "GET /v1/me": () => refusal(429, "rate_limited", "Too fast.", "Wait.") });
  follow();
  socket.drop();
  await vi.advanceTimersByTimeAsync(0);
  expect(kinds()).toEqual([]);
});

test("a socket that falls silent, or never opens, is dead", async () => {
  answer(me);
  follow();
  await vi.advanceTimersByTimeAsync(10_600);
  expect(socket.opened).toHaveLength(2);
  await socket.hello();
  await vi.advanceTimersByTimeAsync(24_000);
  expect(socket.opened).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(socket.opened).toHaveLength(3);
});

test("a pause ends when the network is back", async () => {
  answer({});
  follow();
  for (const wait of [0, 500, 1000, 2000]) {
    await vi.advanceTimersByTimeAsync(wait);
    socket.drop();
  }
  await vi.advanceTimersByTimeAsync(0);
  const before = socket.opened.length;
  dispatchEvent(new Event("online"));
  await vi.advanceTimersByTimeAsync(0);
  expect(socket.opened).toHaveLength(before + 1);
});

/** Tabs of one browser: a lock that only the first in line holds, and channels between the others. */
function browserWithTabs() {
  let holder: { reject: (error: Error) => void } | null = null;
  const line: (() => void)[] = [];
  const channels = new Set<Channel>();
  class Channel {
    onmessage: ((message: { data: unknown }) => void) | null = null;
    constructor() {
      channels.add(this);
    }
    postMessage(data: unknown) {
      for (const other of channels) if (other !== this) other.onmessage?.({ data });
    }
    close() {
      channels.delete(this);
    }
  }
  function request(_name: string, ...asked: [LockOptions, () => Promise<void>] | [() => Promise<void>]): Promise<void> {
    const [{ steal, signal }, hold] = asked.length === 1 ? [{} as LockOptions, asked[0]] : asked;
    return new Promise((resolve, reject) => {
      const take = () => {
        const mine = { reject };
        holder = mine;
        void hold().then(() => {
          if (holder !== mine) return;
          holder = null;
          line.shift()?.();
          resolve();
        });
      };
      signal?.addEventListener("abort", () => {
        line.splice(0, line.length, ...line.filter((waiting) => waiting !== take));
        reject(new DOMException("aborted", "AbortError"));
      });
      if (steal) {
        holder?.reject(new DOMException("stolen", "AbortError"));
        take();
      } else if (holder === null) take();
      else line.push(take);
    });
  }
  vi.stubGlobal("BroadcastChannel", Channel);
  vi.stubGlobal("navigator", { locks: { request } });
}

function openTab(heard: string[]): AbortController {
  const closing = new AbortController();
  const onNews = (news: FeedNews) => heard.push(news.type);
  void followFeed({ client: createClient("t"), name: "ada", signal: closing.signal, onNews });
  return closing;
}

test("one tab listens for all, and the next takes over when it closes", async () => {
  answer(me);
  browserWithTabs();
  const [one, two]: [string[], string[]] = [[], []];
  const first = openTab(one);
  const second = openTab(two);
  expect(socket.opened).toHaveLength(1);
  await socket.tell(aJob());
  expect([one, two]).toEqual([["job"], ["job"]]);
  first.abort();
  await vi.advanceTimersByTimeAsync(0);
  expect(socket.opened).toHaveLength(2);
  await socket.tell(aJob());
  expect([one, two]).toEqual([["job"], ["job", "job"]]);
  second.abort();
});

test("a tab in sight takes the lock from one that sleeps, and leaves it to one that takes it", async () => {
  answer(me);
  browserWithTabs();
  const asleep = () => new Promise<void>(() => {});
  void navigator.locks.request("ada", asleep).catch(() => {});
  const heard: string[] = [];
  const tab = openTab(heard);
  await vi.advanceTimersByTimeAsync(29_000);
  expect(socket.numOpen()).toBe(0);
  await vi.advanceTimersByTimeAsync(7_000);
  expect(socket.numOpen()).toBe(1);
  await socket.hello();
  expect(heard).toEqual(["hello"]);
  void navigator.locks.request("ada", { steal: true }, asleep).catch(() => {});
  await vi.advanceTimersByTimeAsync(0);
  expect(socket.numOpen()).toBe(0);
  tab.abort();
});
