//! Requests that do something, checked.

use std::time::Duration;

use voice_call::Voicemail;
use voice_proto::relay::v1 as pb;

use super::convert::{CallId, call_id};
use crate::{
    assistants::LONGEST_ANNOUNCEMENT, config::is_e164, error::Error, outbound::PlaceCall, registry::Ask,
};

const RING: Duration = Duration::from_secs(30);
const LONGEST_SAY: usize = 2_000;
const LONGEST_INSTRUCTION: usize = 4_000;
const MOST_DIGITS: usize = 64;

/// Something asked of a call.
#[derive(Debug)]
pub(super) struct OnCall {
    pub(super) call_id: CallId,
    pub(super) ask: Ask,
}

/// A call to be handed over.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) call_id: CallId,
    pub(super) number: String,
    /// Set for one that is announced; empty for the assistant's own words.
    pub(super) announcement: Option<String>,
}

impl TryFrom<pb::PlaceCallRequest> for PlaceCall {
    type Error = Error;

    fn try_from(request: pb::PlaceCallRequest) -> Result<Self, Error> {
        let pb::PlaceCallRequest {
            request_id,
            to_number,
            from_number,
            context,
            ring_timeout,
            voicemail_policy,
            voicemail_message,
            instructions,
        } = request;
        let request_id = text("request_id", request_id, 128)?;
        let ring = match ring_timeout {
            None => RING,
            Some(given) if given.nanos == 0 && (5..=120).contains(&given.seconds) => {
                Duration::from_secs(given.seconds as u64)
            }
            Some(_) => return Err(invalid("ring_timeout", "is not a whole number of seconds from 5 to 120")),
        };
        let policy = pb::VoicemailPolicy::try_from(voicemail_policy)
            .map_err(|_| invalid("voicemail_policy", "is not a policy"))?;
        let voicemail = match policy {
            pb::VoicemailPolicy::LeaveMessage => {
                Voicemail::LeaveMessage(text("voicemail_message", voicemail_message, LONGEST_SAY)?)
            }
            _ if !voicemail_message.is_empty() => {
                let why = "is only for VOICEMAIL_POLICY_LEAVE_MESSAGE";
                return Err(invalid("voicemail_message", why));
            }
            pb::VoicemailPolicy::HangUp => Voicemail::HangUp,
            pb::VoicemailPolicy::Unspecified => Voicemail::Ignore,
        };
        let instructions = self::instructions(instructions)?;
        Ok(Self {
            request_id,
            to: number("to_number", to_number)?,
            from: number("from_number", from_number)?,
            context,
            ring,
            voicemail,
            instructions,
        })
    }
}

impl TryFrom<pb::SayRequest> for OnCall {
    type Error = Error;

    fn try_from(request: pb::SayRequest) -> Result<Self, Error> {
        let pb::SayRequest { call_id: id, text: words, interrupt } = request;
        let ask = Ask::Say { text: text("text", words, LONGEST_SAY)?, interrupts: interrupt };
        Ok(Self { call_id: call_id(id)?, ask })
    }
}

impl TryFrom<pb::InstructRequest> for OnCall {
    type Error = Error;

    fn try_from(request: pb::InstructRequest) -> Result<Self, Error> {
        let pb::InstructRequest { call_id: id, text: words } = request;
        let ask = Ask::Instruct(text("text", words, LONGEST_INSTRUCTION)?);
        Ok(Self { call_id: call_id(id)?, ask })
    }
}

impl TryFrom<pb::SendDigitsRequest> for OnCall {
    type Error = Error;

    fn try_from(request: pb::SendDigitsRequest) -> Result<Self, Error> {
        let pb::SendDigitsRequest { call_id: id, digits } = request;
        let is_key = |digit: char| digit.is_ascii_digit() || "*#ABCD".contains(digit);
        let is_known = digits.chars().all(|digit| is_key(digit) || matches!(digit, 'w' | 'W'));
        if !is_known || !digits.contains(is_key) || digits.len() > MOST_DIGITS {
            return Err(invalid("digits", "are not 1 to 64 of 0-9 * # A-D, with w and W as pauses"));
        }
        Ok(Self { call_id: call_id(id)?, ask: Ask::SendDigits(digits) })
    }
}

impl TryFrom<pb::TransferCallRequest> for Transfer {
    type Error = Error;

    fn try_from(request: pb::TransferCallRequest) -> Result<Self, Error> {
        let pb::TransferCallRequest { call_id: id, to_number, warm } = request;
        let announcement = warm
            .map(|warm| short_text("warm.announcement", warm.announcement, LONGEST_ANNOUNCEMENT))
            .transpose()?;
        Ok(Self { call_id: call_id(id)?, number: number("to_number", to_number)?, announcement })
    }
}

fn number(field: &'static str, number: String) -> Result<String, Error> {
    if is_e164(&number) { Ok(number) } else { Err(invalid(field, "is not a number such as +15551234567")) }
}

/// Instructions that a call begins with, if there are any.
pub(super) fn instructions(instructions: String) -> Result<Option<String>, Error> {
    if instructions.is_empty() {
        return Ok(None);
    }
    text("instructions", instructions, LONGEST_INSTRUCTION).map(Some)
}

/// A text that may be empty.
pub(super) fn short_text(field: &'static str, text: String, most: usize) -> Result<String, Error> {
    if text.is_empty() { Ok(text) } else { self::text(field, text, most) }
}

fn text(field: &'static str, text: String, most: usize) -> Result<String, Error> {
    let length = text.chars().count();
    if text.trim().is_empty() {
        return Err(invalid(field, "is empty"));
    }
    if length > most {
        let message = format!("has {length} characters; at most {most} are allowed");
        return Err(Error::InvalidField { field, message });
    }
    Ok(text)
}

fn invalid(field: &'static str, message: &str) -> Error {
    Error::InvalidField { field, message: message.to_owned() }
}
