package voicemesh;

import io.grpc.ClientInterceptors;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.MetadataUtils;
import java.io.File;
import voicemesh.voice.relay.v1.CallEvent;
import voicemesh.voice.relay.v1.CallState;
import voicemesh.voice.relay.v1.RelayServiceGrpc;
import voicemesh.voice.relay.v1.RelayServiceGrpc.RelayServiceBlockingStub;
import voicemesh.voice.relay.v1.WatchCallRequest;

/**
 * Follows a call of the mesh, or holds one: {@code Client watch CALL_ID | converse QUESTION.wav HEARD.wav}.
 *
 * <p>RELAY is the address of the relay, API_TOKEN a token where one is needed. clients/generate.sh makes the stubs.
 */
public final class Client {
  private Client() {}

  public static void main(String[] arguments) throws Exception {
    String address = System.getenv().getOrDefault("RELAY", "127.0.0.1:50051");
    ManagedChannel channel = Grpc.newChannelBuilder(address, InsecureChannelCredentials.create()).build();
    try {
      var authorized = ClientInterceptors.intercept(channel, MetadataUtils.newAttachHeadersInterceptor(headers()));
      if (arguments.length == 2 && arguments[0].equals("watch")) {
        watch(RelayServiceGrpc.newBlockingStub(authorized), arguments[1]);
      } else if (arguments.length == 3 && arguments[0].equals("converse")) {
        Conversation.hold(RelayServiceGrpc.newStub(authorized), new File(arguments[1]), new File(arguments[2]));
      } else {
        throw new IllegalArgumentException("usage: watch CALL_ID | converse QUESTION.wav HEARD.wav");
      }
    } finally {
      channel.shutdownNow();
    }
  }

  private static Metadata headers() {
    Metadata headers = new Metadata();
    String token = System.getenv("API_TOKEN");
    if (token != null) {
      headers.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + token);
    }
    return headers;
  }

  /** Prints what happens in a call, to its end. A connection that breaks costs nothing: it goes on where it was. */
  private static void watch(RelayServiceBlockingStub relay, String callId) throws InterruptedException {
    long last = 0;
    while (true) {
      var request = WatchCallRequest.newBuilder().setCallId(callId).setAfterSequence(last).build();
      try {
        var events = relay.watchCall(request);
        while (events.hasNext()) {
          CallEvent event = events.next().getEvent();
          last = event.getSequence();
          show(event);
        }
        return;
      } catch (StatusRuntimeException error) {
        if (error.getStatus().getCode() != Status.Code.UNAVAILABLE) {
          throw error;
        }
        Thread.sleep(1_000);
      }
    }
  }

  /** Prints an event. Those that are not known here are passed over: a contract may grow. */
  static void show(CallEvent event) {
    switch (event.getEventCase()) {
      case TRANSCRIPT -> {
        if (event.getTranscript().getIsFinal()) {
          System.out.println("caller: " + event.getTranscript().getText());
        }
      }
      case PLAYBACK_STARTED -> System.out.println("assistant: " + event.getPlaybackStarted().getText());
      case PLAYBACK_INTERRUPTED ->
          System.out.println("interrupted after: " + event.getPlaybackInterrupted().getHeard());
      case STATE_CHANGED -> {
        if (event.getStateChanged().getState() == CallState.CALL_STATE_ENDED) {
          System.out.println("ended: " + event.getStateChanged().getEndReason());
        }
      }
      default -> {}
    }
  }
}
