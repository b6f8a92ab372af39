//! The pretend Groq in the hands of the vendor's own SDK.

use serde_json::json;

use crate::{
    child::{Child, Spec},
    groq::GroqSim,
    mesh::binary,
    speech::spoken,
};

const WORDS: &str = "what are your opening hours";

#[tokio::test]
async fn groqs_python_sdk_lists_transcribes_chats_and_speaks() {
    let folder = tempfile::tempdir().unwrap();
    let (program, args) = (binary("voice-sim"), ["groq".to_owned()]);
    let spec = Spec {
        name: "groq",
        program: &program,
        args: &args,
        env: &[],
        folder: folder.path(),
        announces: true,
    };
    let simulator = Child::start(spec).await.unwrap();
    let base_url = simulator.said("base_url").unwrap();
    let control = GroqSim::new(base_url.clone());
    control.grammar(&[WORDS]).await.unwrap();
    let ringing = |name: &str| json!({ "name": name, "arguments": { "times": 2 } });
    let script = json!([
        { "when": "hello there", "reply": "Good day to you." },
        { "when": "ring the bells", "reply": "With pleasure.", "tool_calls": [ringing("ring"), ringing("chime")] },
        { "when": "they have rung", "reply": "There you are." },
    ]);
    control.lines(script).await.unwrap();
    let wav = folder.path().join("said.wav");
    std::fs::write(&wav, spoken(WORDS).await.unwrap()).unwrap();
    let run = super::python("python").arg("groq_py.py").arg(base_url).arg(wav).arg(WORDS).output();
    let output = tokio::time::timeout(super::LIMIT * 2, run).await.unwrap().unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
}
