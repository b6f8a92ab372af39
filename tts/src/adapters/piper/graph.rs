//! Just enough of ONNX's file format to find where a voice can be cut in two.
//!
//! A voice first makes a frame of features for every 10 ms or so, and then upsamples frames to sound. The second half
//! only looks a few frames to either side, so that it can be run piece by piece.

/// Field numbers of ONNX's messages.
const MODEL_GRAPH: u64 = 7;
const GRAPH_NODE: u64 = 1;
const NODE_INPUT: u64 = 1;
const NODE_OPERATOR: u64 = 4;

/// The name of the tensor that the first upsampling convolution reads; `None` when there is none.
pub(super) fn upsampled(model: &[u8]) -> Option<String> {
    let graph = Fields(model).find_map(|(number, bytes)| (number == MODEL_GRAPH).then_some(bytes))?;
    let mut nodes = Fields(graph).filter_map(|(number, bytes)| (number == GRAPH_NODE).then_some(bytes));
    let upsampling =
        nodes.find(|node| Fields(node).any(|field| field == (NODE_OPERATOR, b"ConvTranspose".as_slice())))?;
    let input = Fields(upsampling).find_map(|(number, bytes)| (number == NODE_INPUT).then_some(bytes))?;
    String::from_utf8(input.to_vec()).ok()
}

/// The length-delimited fields of a protobuf message; what is malformed ends it.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let key = self.varint()?;
            match key & 7 {
                0 => drop(self.varint()?),
                1 => drop(self.take(8)?),
                2 => {
                    let length = usize::try_from(self.varint()?).ok()?;
                    return Some((key >> 3, self.take(length)?));
                }
                5 => drop(self.take(4)?),
                _ => return None,
            }
        }
    }
}

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}
