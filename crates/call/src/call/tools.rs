//! What the language model asks for beside its words. What changes the call is done once the reply has been heard; what
//! the model wants to know is found out at once, while the caller is kept company, and goes into another request to it.

use std::time::Instant;

use voice_speech::ClauseSplitter;

use super::{
    Outbox,
    message::Taking,
    talk::{Cx, Talk},
};
use crate::{
    Command, Destination, EndReason, Handover, Message, Notice, PlaybackKind, Refusal, Role, ToolUse,
    TransferFailure, TurnId, TurnRequest,
    tool::{MOST_ROUNDS, OpenState, OpenTool, Tool, ToolAsk, ToolCall, ToolFailure, ToolOutcome, failed},
    turn::{CLAUSE_CHARS, Turn},
};

/// What the model is told of something that is to be done later.
const AFTER_REPLY: &str = "{\"status\":\"is done once the caller has heard your reply\"}";

/// What it knows later of digits.
const DIALLED: &str = "{\"status\":\"dialled\"}";

/// What it is told of something that the caller spoke over.
const INTERRUPTED: &str =
    "{\"error\":\"CANCELLED\",\"message\":\"The caller spoke. Whether it was done is not known.\"}";

/// A call that leaves us once nothing is being said any more.
#[derive(Debug)]
pub(crate) struct Leaving {
    pub(super) turn: TurnId,
    pub(super) call: ToolCall,
    pub(super) to: Handover,
}

impl Talk {
    /// The model has written all of an answer: what it asks for is done, or the reply is complete.
    pub(super) fn written(&mut self, cx: &mut Cx<'_>, id: TurnId) {
        let is_held = self.suspended.is_some();
        let Some(turn) = self.turn.as_mut().filter(|turn| turn.id == id) else { return };
        if turn.tools.asked.is_empty() {
            self.complete_reply(cx, id);
            return;
        }
        // Nothing is done that the caller may be about to forbid.
        if is_held {
            return;
        }
        let asked = std::mem::take(&mut turn.tools.asked);
        for ask in &asked {
            let ToolCall { id: tool_call, name, arguments } = ask.call.clone();
            cx.out.report(Notice::ToolCalled { turn: id, tool_call, name, arguments });
        }
        if asked.iter().all(ToolAsk::is_act) {
            let question = asked.iter().find_map(|ask| match &ask.tool {
                Tool::TakeMessage { prompt } if turn.said.trim().is_empty() => Some(prompt.clone()),
                _ => None,
            });
            turn.tools.acts.extend(asked);
            if let Some(question) = question {
                self.write(cx, id, &question);
            }
            self.complete_reply(cx, id);
        } else {
            self.open_tools(cx, id, asked);
        }
    }

    /// The model waits for results.
    fn open_tools(&mut self, cx: &mut Cx<'_>, id: TurnId, asked: Vec<ToolAsk>) {
        let mut question = None;
        for ask in asked {
            let Some(turn) = &mut self.turn else { return };
            let state = match &ask.tool {
                Tool::EndCall
                | Tool::Transfer { .. }
                | Tool::SendDigits { .. }
                | Tool::TakeMessage { .. } => {
                    turn.tools.acts.push(ask.clone());
                    OpenState::Over { result: AFTER_REPLY.to_owned() }
                }
                Tool::Refused { reason } => {
                    ended(cx.out, id, &ask.call, ToolOutcome::Refused, reason);
                    OpenState::Over { result: failed(reason, "") }
                }
                Tool::CollectDigits { prompt, .. } => {
                    if turn.said[turn.tools.said_from..].trim().is_empty() {
                        question = Some(prompt.clone());
                    }
                    OpenState::Collecting { digits: String::new(), last: None }
                }
                Tool::External => {
                    cx.out.push(Command::CallTool { turn: id, call: ask.call.clone() });
                    OpenState::Away { deadline: cx.now + cx.config.tool_timeout }
                }
            };
            turn.tools.open.push(OpenTool { ask, state });
        }
        if let Some(question) = question {
            self.write(cx, id, &question);
        }
        self.go_on_with_tools(cx);
    }

    /// Adds words of our own to a reply.
    fn write(&mut self, cx: &mut Cx<'_>, id: TurnId, text: &str) {
        let Some(turn) = &mut self.turn else { return };
        turn.say_on(text);
        let mut splitter = ClauseSplitter::new(CLAUSE_CHARS);
        let mut clauses = splitter.push(text);
        clauses.extend(splitter.finish());
        cx.out.report(Notice::ReplyDelta { turn: id, text: text.to_owned() });
        for clause in clauses {
            self.say_clause(cx, id, clause.text);
        }
    }

    /// Whoever does something outside tells what came of it.
    pub(super) fn tool_answered(
        &mut self,
        cx: &mut Cx<'_>,
        id: TurnId,
        tool_call: &str,
        answer: Result<String, ToolFailure>,
    ) {
        let Some(open) = self.awaited_tool(id, tool_call) else { return };
        let (outcome, reason, result) = match answer {
            Ok(result) => (ToolOutcome::Done, "", result),
            Err(ToolFailure { reason, message }) => (ToolOutcome::Failed, reason, failed(reason, &message)),
        };
        ended(cx.out, id, &open.ask.call, outcome, reason);
        open.state = OpenState::Over { result };
        self.go_on_with_tools(cx);
    }

    /// It is being done, and there is something to tell the caller meanwhile.
    pub(super) fn tool_progressed(&mut self, cx: &mut Cx<'_>, id: TurnId, tool_call: &str, words: String) {
        let is_quiet = self.suspended.is_none() && self.mouth.idle_since().is_some();
        if self.awaited_tool(id, tool_call).is_none() || !is_quiet || self.mouth.has_sound_ahead() {
            return;
        }
        if let Some(turn) = &mut self.turn {
            turn.fillers += 1;
        }
        self.say(cx, PlaybackKind::Filler, Some(id), words);
    }

    fn awaited_tool(&mut self, id: TurnId, tool_call: &str) -> Option<&mut OpenTool> {
        let turn = self.turn.as_mut().filter(|turn| turn.id == id)?;
        turn.tools
            .open
            .iter_mut()
            .find(|open| matches!(open.state, OpenState::Away { .. }) && open.ask.call.id == tool_call)
    }

    /// The caller pressed a key.
    pub(super) fn key_pressed(&mut self, cx: &mut Cx<'_>, digit: char) {
        let Some(turn) = &mut self.turn else { return };
        let id = turn.id;
        let collecting =
            turn.tools.open.iter_mut().find_map(|open| match (&open.ask.tool, &mut open.state) {
                (Tool::CollectDigits { most, .. }, OpenState::Collecting { digits, last }) => {
                    Some((*most, digits, last))
                }
                _ => None,
            });
        let Some((most, digits, last)) = collecting else { return };
        *last = Some(cx.now);
        if digit != '#' {
            digits.push(digit);
        }
        if digit == '#' || digits.len() >= most {
            self.close_collecting(cx, id, |_| true);
            self.go_on_with_tools(cx);
        }
    }

    /// Has the line listen for as many keys as are wanted now.
    pub(super) fn expect_keys(&mut self, out: &mut Outbox) {
        let most = self.turn.as_ref().and_then(|turn| turn.tools.wanted_keys()).unwrap_or(1);
        if std::mem::replace(&mut self.expected_keys, most) != most {
            out.push(Command::ExpectDigits { most });
        }
    }

    fn close_collecting(&mut self, cx: &mut Cx<'_>, id: TurnId, is_due: impl Fn(&OpenTool) -> bool) {
        let Some(turn) = &mut self.turn else { return };
        for open in turn.tools.open.iter_mut().filter(|open| is_due(open)) {
            if let OpenState::Collecting { digits, .. } = &open.state {
                ended(cx.out, id, &open.ask.call, ToolOutcome::Done, "");
                open.state = OpenState::Over { result: format!("{{\"digits\":\"{digits}\"}}") };
            }
        }
    }

    /// When something that the model waits for is given up.
    pub(super) fn tools_deadline(&self) -> Option<Instant> {
        self.turn.as_ref()?.tools.deadline(self.quiet_for_keys())
    }

    /// Since when the caller has had nothing to do but to press keys.
    fn quiet_for_keys(&self) -> Option<Instant> {
        let is_quiet = self.suspended.is_none() && !self.mouth.has_sound_ahead();
        self.mouth.idle_since().filter(|_| is_quiet)
    }

    pub(super) fn tools_overdue(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now;
        let idle_since = self.quiet_for_keys();
        let is_due = |open: &OpenTool| open.deadline(idle_since).is_some_and(|deadline| deadline <= now);
        let Some(id) = self.turn.as_ref().map(|turn| turn.id) else { return };
        self.close_collecting(cx, id, is_due);
        let Some(turn) = &mut self.turn else { return };
        for open in turn.tools.open.iter_mut().filter(|open| is_due(open)) {
            cx.out.push(Command::CancelTool { turn: id, tool_call: open.ask.call.id.clone() });
            ended(cx.out, id, &open.ask.call, ToolOutcome::Failed, "TOOL_TIMEOUT");
            open.state = OpenState::Over { result: failed("TOOL_TIMEOUT", "") };
        }
        self.go_on_with_tools(cx);
    }

    /// Once all results are there, the model is asked again.
    fn go_on_with_tools(&mut self, cx: &mut Cx<'_>) {
        let Some(turn) = &mut self.turn else { return };
        if !turn.tools.is_open() || !turn.tools.open.iter().all(OpenTool::is_over) {
            return;
        }
        let words = turn.said[turn.tools.said_from..].trim().to_owned();
        let uses = std::mem::take(&mut turn.tools.open).into_iter().map(OpenTool::into_use).collect();
        turn.tools.rounds.push((words, uses));
        turn.begin_round(cx.now);
        let mut history = self.history.clone();
        history.push(Role::User, turn.transcript.as_deref().unwrap_or_default());
        for (words, uses) in &turn.tools.rounds {
            history.push_message(Message {
                role: Role::Assistant,
                content: words.clone(),
                tools: uses.clone(),
            });
        }
        cx.out.push(Command::StartTurn(TurnRequest {
            turn: turn.id,
            round: turn.tools.round,
            may_use_tools: turn.tools.round + 1 < MOST_ROUNDS,
            utterances: Vec::new(),
            earlier_text: String::new(),
            history: history.messages(),
            instructions: cx.config.instructions.clone(),
            budget: cx.config.turn_budget,
            is_speculative: false,
            answered_text: None,
            is_repeated: self.failures > 0,
        }));
    }

    /// A turn is given up: what it has asked for is as well.
    pub(super) fn drop_tools(&mut self, out: &mut Outbox, turn: &mut Turn) {
        let id = turn.id;
        let open = std::mem::take(&mut turn.tools.open);
        for open in open.iter().filter(|open| !open.is_over()) {
            ended(out, id, &open.ask.call, ToolOutcome::Cancelled, "");
        }
        drop_acts(out, id, std::mem::take(&mut turn.tools.acts));
        turn.tools.asked.clear();
        if !open.is_empty() {
            turn.tools.rounds.push((String::new(), open.into_iter().map(OpenTool::into_use).collect()));
        }
    }

    /// The reply has been heard: what was to follow it follows. With what the model is to know of it later.
    pub(super) fn act(&mut self, cx: &mut Cx<'_>, id: TurnId, acts: Vec<ToolAsk>, is_wordless: bool) {
        for ToolAsk { call, tool } in acts {
            let is_over = self.closing.is_some() || self.leaving.is_some() || self.taking.is_some();
            match tool {
                Tool::EndCall if !is_over => {
                    ended(cx.out, id, &call, ToolOutcome::Done, "");
                    self.closing = Some(EndReason::Assistant);
                    if is_wordless {
                        self.close(cx, EndReason::Assistant);
                    }
                }
                Tool::Transfer { target, announcement } if !is_over => {
                    if is_wordless {
                        let phrase = cx.config.phrases.transfer.clone();
                        self.say(cx, PlaybackKind::Transfer, Some(id), phrase);
                    }
                    let to = Handover { to: Destination::Target { name: target }, announcement };
                    self.leaving = Some(Leaving { turn: id, call, to });
                }
                Tool::SendDigits { digits } if !is_over => match self.dial(cx, digits) {
                    Ok(()) => {
                        ended(cx.out, id, &call, ToolOutcome::Done, "");
                        self.remember(call, DIALLED.to_owned());
                    }
                    Err(_) => ended(cx.out, id, &call, ToolOutcome::Refused, "DIGITS_UNDER_WAY"),
                },
                Tool::TakeMessage { .. } if !is_over => {
                    self.taking = Some(Taking::new(id, call, cx.now));
                    cx.out.push(Command::TakeMessage);
                }
                Tool::EndCall
                | Tool::Transfer { .. }
                | Tool::SendDigits { .. }
                | Tool::TakeMessage { .. }
                | Tool::CollectDigits { .. }
                | Tool::External
                | Tool::Refused { .. } => ended(cx.out, id, &call, ToolOutcome::Cancelled, ""),
            }
        }
    }

    /// Notes something that the model is to know of from now on.
    pub(super) fn remember(&mut self, call: ToolCall, result: String) {
        let (content, tools) = (String::new(), vec![ToolUse { call, result }]);
        self.history.push_message(Message { role: Role::Assistant, content, tools });
    }

    /// Nobody took the call that was handed over.
    pub(super) fn not_departed(&mut self, reason: TransferFailure) {
        let why = match reason {
            TransferFailure::Busy => "the line is busy",
            TransferFailure::NoAnswer => "nobody answered",
            TransferFailure::HungUp => "whoever answered hung up",
            TransferFailure::Refused | TransferFailure::Failed => "nobody took the call",
        };
        if let Some(call) = self.departed.take() {
            self.remember(call, failed("TRANSFER_FAILED", why));
        }
    }

    /// Dials digits into the call.
    pub(super) fn dial(&mut self, cx: &mut Cx<'_>, digits: String) -> Result<(), Refusal> {
        if self.digits.is_some() {
            return Err(Refusal::DigitsUnderWay);
        }
        self.digits = Some(super::requests::DigitsOut::new(cx.now, digits.clone()));
        cx.out.push(Command::SendDigits { digits });
        Ok(())
    }

    /// The caller speaks before he is handed over: he stays.
    pub(super) fn stay(&mut self, out: &mut Outbox) {
        if let Some(Leaving { turn, call, .. }) = self.leaving.take() {
            ended(out, turn, &call, ToolOutcome::Cancelled, "");
        }
    }

    /// Where the call goes now, if it does.
    pub(super) fn departure(&mut self, out: &mut Outbox) -> Option<Handover> {
        if self.closing.is_some() || !self.mouth.is_silent() {
            return None;
        }
        let Leaving { turn, call, to } = self.leaving.take()?;
        ended(out, turn, &call, ToolOutcome::Done, "");
        self.departed = Some(call);
        Some(to)
    }
}

impl OpenTool {
    fn into_use(self) -> ToolUse {
        let result = match self.state {
            OpenState::Over { result } => result,
            OpenState::Away { .. } | OpenState::Collecting { .. } => INTERRUPTED.to_owned(),
        };
        self.ask.into_use(result)
    }
}

/// Things that were to be done after a reply are not.
pub(super) fn drop_acts(out: &mut Outbox, id: TurnId, acts: Vec<ToolAsk>) {
    for ask in acts {
        ended(out, id, &ask.call, ToolOutcome::Cancelled, "");
    }
}

fn ended(out: &mut Outbox, turn: TurnId, call: &ToolCall, outcome: ToolOutcome, reason: &'static str) {
    let (tool_call, name) = (call.id.clone(), call.name.clone());
    out.report(Notice::ToolEnded { turn, tool_call, name, outcome, reason });
}
