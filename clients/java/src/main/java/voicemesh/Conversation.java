package voicemesh;

import com.google.protobuf.ByteString;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import javax.sound.sampled.AudioFileFormat;
import javax.sound.sampled.AudioFormat;
import javax.sound.sampled.AudioInputStream;
import javax.sound.sampled.AudioSystem;
import javax.sound.sampled.UnsupportedAudioFileException;
import voicemesh.voice.audio.v1.AudioEncoding;
import voicemesh.voice.relay.v1.Activity;
import voicemesh.voice.relay.v1.CallEvent;
import voicemesh.voice.relay.v1.CallerAudio;
import voicemesh.voice.relay.v1.ConverseConfig;
import voicemesh.voice.relay.v1.ConverseRequest;
import voicemesh.voice.relay.v1.ConverseResponse;
import voicemesh.voice.relay.v1.PlaybackKind;
import voicemesh.voice.relay.v1.RelayServiceGrpc.RelayServiceStub;

/** Asks what a WAV file says (16 bits, mono; 8, 16 or 24 kHz), and writes all that is heard into another one. */
final class Conversation implements ClientResponseObserver<ConverseRequest, ConverseResponse> {
  private final ByteArrayOutputStream heard = new ByteArrayOutputStream();
  private final CountDownLatch greeted = new CountDownLatch(1);
  private final CountDownLatch answered = new CountDownLatch(1);
  private final CountDownLatch over = new CountDownLatch(1);
  private ClientCallStreamObserver<ConverseRequest> requests;
  private boolean isAnswering;
  private volatile Throwable failure;

  static void hold(RelayServiceStub relay, File question, File heard)
      throws IOException, InterruptedException, UnsupportedAudioFileException {
    Conversation conversation = new Conversation();
    try (AudioInputStream speech = AudioSystem.getAudioInputStream(question)) {
      relay.converse(conversation);
      conversation.speak(speech);
      conversation.over.await();
      if (conversation.failure != null) {
        throw new IOException(conversation.failure);
      }
      byte[] samples = conversation.heard.toByteArray();
      AudioFormat format = speech.getFormat();
      var file = new AudioInputStream(new ByteArrayInputStream(samples), format, samples.length / 2);
      AudioSystem.write(file, AudioFileFormat.Type.WAVE, heard);
    }
  }

  /**
   * Sends the configuration, then a tenth of a second at a time, as a microphone gives it: silence until the caller has
   * been greeted, what he says, and silence until he has been answered. Then he hangs up.
   */
  private void speak(AudioInputStream speech) throws IOException, InterruptedException {
    int rate = (int) speech.getFormat().getSampleRate();
    var format = voicemesh.voice.audio.v1.AudioFormat.newBuilder()
        .setEncoding(AudioEncoding.AUDIO_ENCODING_LINEAR16)
        .setSampleRateHertz(rate);
    var config = ConverseConfig.newBuilder().setFormat(format).setWantsEvents(true);
    requests.onNext(ConverseRequest.newBuilder().setConfig(config).build());
    long due = System.nanoTime();
    do {
      byte[] piece = new byte[rate / 10 * 2];
      if (greeted.getCount() == 0) {
        speech.readNBytes(piece, 0, piece.length);
      }
      var audio = CallerAudio.newBuilder().setAudio(ByteString.copyFrom(piece));
      requests.onNext(ConverseRequest.newBuilder().setAudio(audio).build());
      due += TimeUnit.MILLISECONDS.toNanos(100);
    } while (over.getCount() > 0 && !answered.await(due - System.nanoTime(), TimeUnit.NANOSECONDS));
    if (over.getCount() > 0) {
      requests.onCompleted();
    }
  }

  @Override
  public void beforeStart(ClientCallStreamObserver<ConverseRequest> requests) {
    this.requests = requests;
  }

  @Override
  public void onNext(ConverseResponse response) {
    switch (response.getPayloadCase()) {
      case AUDIO -> heard.writeBytes(response.getAudio().toByteArray());
      case EVENT -> {
        CallEvent event = response.getEvent();
        Client.show(event);
        isAnswering |= event.getPlaybackStarted().getKind() == PlaybackKind.PLAYBACK_KIND_REPLY;
        if (event.getStateChanged().getActivity() == Activity.ACTIVITY_LISTENING) {
          (isAnswering ? answered : greeted).countDown();
        }
      }
      default -> {}
    }
  }

  @Override
  public void onError(Throwable error) {
    failure = error;
    over.countDown();
  }

  @Override
  public void onCompleted() {
    over.countDown();
  }
}
