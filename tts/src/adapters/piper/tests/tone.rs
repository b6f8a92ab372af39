//! A voice without weights: a tone of 50 ms for every phoneme id, written byte by byte.

use std::{f32::consts::TAU, fs, path::Path};

use serde_json::{Value, json};

/// Samples of one phoneme id at a length scale of one.
pub(super) const SAMPLES_PER_ID: usize = 1_102;

const FLOAT: u64 = 1;
const INT64: u64 = 7;

/// What the JSON file of a voice says that speaks American English.
pub(super) fn about() -> Value {
    let letters = " !'(),-.:;?abcdefghijklmnopqrstuvwxyzæðŋɐɑɔəɚɛɜɡɪɹɾʃʊʌʒˈˌːθᵻ";
    let mut ids = serde_json::Map::new();
    for (id, phoneme) in "_^$".chars().chain(letters.chars()).enumerate() {
        ids.insert(phoneme.to_string(), json!([id]));
    }
    json!({
        "audio": { "sample_rate": 22_050, "quality": "medium" },
        "espeak": { "voice": "en-us" },
        "inference": { "noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8 },
        "phoneme_type": "espeak",
        "phoneme_id_map": ids,
        "num_symbols": 256,
        "num_speakers": 1,
        "speaker_id_map": {},
        "a_field_of_the_future": [],
    })
}

/// Writes `NAME.onnx` and `NAME.onnx.json`.
pub(super) fn write(folder: &Path, name: &str, about: &Value, model: &[u8]) {
    fs::write(folder.join(format!("{name}.onnx")), model).unwrap();
    fs::write(folder.join(format!("{name}.onnx.json")), about.to_string()).unwrap();
}

/// The sound of so many ids.
pub(super) fn sound(ids: usize, length_scale: f32, speaker: i32) -> Vec<f32> {
    let count = (ids as f32 * length_scale * SAMPLES_PER_ID as f32) as usize;
    let step = TAU * 440.0 / 22_050.0 * (speaker + 1) as f32;
    (0..count).map(|n| 0.3 * (n as f32 * step).sin()).collect()
}

/// The network. With `sid`, each speaker is as many times higher.
pub(super) fn model(inputs: &[&str]) -> Vec<u8> {
    let has_speakers = inputs.contains(&"sid");
    let mut nodes = vec![
        node("Slice", &["scales", "one", "two"], "length_1", None),
        node("Squeeze", &["length_1"], "length", None),
        node("Slice", &["input_lengths", "zero", "one"], "ids_1", None),
        node("Squeeze", &["ids_1"], "ids_0", None),
        node("Cast", &["ids_0"], "ids", Some(FLOAT)),
        node("Mul", &["length", "ids"], "long", None),
        node("Mul", &["long", "samples_per_id"], "count_f", None),
        node("Cast", &["count_f"], "count", Some(INT64)),
        node("Range", &["from", "count", "by"], "steps", None),
        node("Cast", &["steps"], "steps_f", Some(FLOAT)),
        node("Mul", &["steps_f", "step"], "phase_1", None),
    ];
    if has_speakers {
        nodes.extend([
            node("Cast", &["sid"], "sid_f", Some(FLOAT)),
            node("Add", &["sid_f", "one_f"], "times", None),
            node("Mul", &["phase_1", "times"], "phase", None),
        ]);
    }
    let phase = if has_speakers { "phase" } else { "phase_1" };
    nodes.extend([
        node("Sin", &[phase], "wave", None),
        node("Mul", &["wave", "level"], "sound", None),
        node("Unsqueeze", &["sound", "axes"], "output", None),
    ]);
    let constants = [
        ints("zero", &[0]),
        ints("one", &[1]),
        ints("two", &[2]),
        ints("axes", &[0, 1, 2]),
        tensor("from", INT64, &0_i64.to_le_bytes()),
        tensor("by", INT64, &1_i64.to_le_bytes()),
        float("samples_per_id", SAMPLES_PER_ID as f32),
        float("step", TAU * 440.0 / 22_050.0),
        float("level", 0.3),
        float("one_f", 1.0),
    ];
    let all_inputs = [
        ("input", INT64, vec![None, None]),
        ("input_lengths", INT64, vec![None]),
        ("scales", FLOAT, vec![Some(3)]),
        ("sid", INT64, vec![None]),
    ];
    let mut graph: Vec<u8> = nodes.iter().flat_map(|node| bytes(1, node)).collect();
    graph.extend(bytes(2, b"tone"));
    graph.extend(constants.iter().flat_map(|constant| bytes(5, constant)));
    let wanted = all_inputs.iter().filter(|(name, ..)| inputs.contains(name));
    graph.extend(wanted.flat_map(|(name, kind, shape)| bytes(11, &value(name, *kind, shape))));
    graph.extend(bytes(12, &value("output", FLOAT, &[Some(1), Some(1), Some(1), None])));
    let opset = bytes(8, &[bytes(1, b""), int(2, 15)].concat());
    [int(1, 8), bytes(7, &graph), opset].concat()
}

fn node(operator: &str, inputs: &[&str], output: &str, cast_to: Option<u64>) -> Vec<u8> {
    let mut node: Vec<u8> = inputs.iter().flat_map(|input| bytes(1, input.as_bytes())).collect();
    node.extend(
        [bytes(2, output.as_bytes()), bytes(3, output.as_bytes()), bytes(4, operator.as_bytes())].concat(),
    );
    if let Some(kind) = cast_to {
        // An attribute that is an integer.
        node.extend(bytes(5, &[bytes(1, b"to"), int(3, kind), int(20, 2)].concat()));
    }
    node
}

/// A vector; what has no dimensions is a number.
fn ints(name: &str, values: &[i64]) -> Vec<u8> {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    [int(1, values.len() as u64), tensor(name, INT64, &raw)].concat()
}

fn float(name: &str, value: f32) -> Vec<u8> {
    tensor(name, FLOAT, &value.to_le_bytes())
}

fn tensor(name: &str, kind: u64, raw: &[u8]) -> Vec<u8> {
    [int(2, kind), bytes(8, name.as_bytes()), bytes(9, raw)].concat()
}

fn value(name: &str, kind: u64, shape: &[Option<u64>]) -> Vec<u8> {
    let dimension = |size: &Option<u64>| bytes(1, &size.map_or_else(|| bytes(2, b"n"), |size| int(1, size)));
    let shape: Vec<u8> = shape.iter().flat_map(dimension).collect();
    let tensor = [int(1, kind), bytes(2, &shape)].concat();
    [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat()
}

fn bytes(field: u64, content: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

fn int(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut all = Vec::new();
    while value >= 0x80 {
        all.push(value as u8 | 0x80);
        value >>= 7;
    }
    all.push(value as u8);
    all
}
