// What all examples do with a call: follow it to its end, and print what is said in it.

import { Code, ConnectError, type Client, type Interceptor } from "@connectrpc/connect";
import { CallState, EndReasonSchema, type CallEvent } from "./gen/voice/relay/v1/call_pb.js";
import { RelayService } from "./gen/voice/relay/v1/relay_service_pb.js";

/** Shows a token with every request, where there is one. */
export function authorize(token: string | undefined): Interceptor {
  return (next) => (request) => {
    if (token) request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
}

/** Prints what happens in a call, to its end. A connection that breaks costs nothing: it goes on where it was. */
export async function watch(relay: Client<typeof RelayService>, callId: string): Promise<void> {
  let afterSequence = 0n;
  for (;;) {
    try {
      for await (const { event } of relay.watchCall({ callId, afterSequence })) {
        if (!event) continue;
        afterSequence = event.sequence;
        show(event);
      }
      return;
    } catch (error) {
      if (ConnectError.from(error).code !== Code.Unavailable) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

/** Prints an event. Those that are not known here are passed over: a contract may grow. */
export function show({ event }: CallEvent): void {
  switch (event.case) {
    case "transcript":
      if (event.value.isFinal) console.log("caller:", event.value.text);
      break;
    case "playbackStarted":
      console.log("assistant:", event.value.text);
      break;
    case "playbackInterrupted":
      console.log("interrupted after:", event.value.heard);
      break;
    case "stateChanged":
      if (event.value.state === CallState.ENDED) {
        console.log("ended:", EndReasonSchema.value[event.value.endReason]?.name ?? event.value.endReason);
      }
      break;
  }
}
