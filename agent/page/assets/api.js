// Requests to the device.

/** What the device refused, with the sentence that it gave. */
export class Refused extends Error {
  constructor(status, answer) {
    super(answer?.message ?? `the device answered ${status}`);
    this.status = status;
    this.code = answer?.error;
  }
}

/** Asks and returns the answer. */
export async function ask(method, path, body) {
  let response;
  try {
    response = await fetch(`/api/v1/${path}`, {
      method,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Refused(0, { message: "the device does not answer" });
  }
  const answer = await response.json().catch(() => null);
  if (response.ok) return answer;
  if (response.status === 401 && answer?.error === "sign-in-first") {
    window.dispatchEvent(new Event("signed-out"));
  }
  throw new Refused(response.status, answer);
}

export const get = (path) => ask("GET", path);
