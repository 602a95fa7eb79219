//! The last step: every string becomes a trusted value, and the request a [`Command`]; next the session dispatches it.

use std::borrow::Cow;

use super::{reject::Fault, rules::InboundRules};
use crate::{
    domain::{
        command::{Command, FrameId, Numbered},
        cursor::Cursor,
        nickname::{Nickname, NicknameError},
        position::{Epoch, Position},
        reason::Reason,
        room_name::RoomId,
        text::{CleanText, TextError},
        token::RawToken,
    },
    protocol::{
        client_frame::{Request, Send},
        codes::ErrorCode,
    },
};

/// Entries before the head for a fresh join that does not say how many, and for a page of history without a limit.
const PAGE: u32 = 50;

/// Makes a command of a valid request.
pub(super) fn command(
    id: Option<FrameId>,
    request: Request<'_>,
    rules: &InboundRules,
) -> Result<Command, Fault> {
    let page = PAGE.min(rules.history_page_max);
    Ok(match request {
        Request::Join(join) => Command::Join {
            id,
            room: room(&join.room, rules)?,
            nick: join.nick.map(|nick| nickname(&nick, rules)).transpose()?,
            since: Cursor::parse(&join.since, rules.cursor_pairs_max)
                .map_err(|error| Fault::bad_request(format!("`since`: {error}")))?,
            history: join.history.unwrap_or(page),
        },
        Request::Leave(leave) => Command::Leave {
            id,
            room: room(&leave.room, rules)?,
        },
        Request::Send(send) => Command::Send {
            id,
            room: room(&send.room, rules)?,
            text: text(&send.text, rules)?,
            numbered: numbered(&send),
        },
        Request::History(history) => Command::History {
            id,
            room: room(&history.room, rules)?,
            before: history.before,
            limit: history.limit.unwrap_or(page),
        },
        Request::Members(members) => Command::Members {
            id,
            room: room(&members.room, rules)?,
        },
        Request::Typing(typing) => Command::Typing {
            room: room(&typing.room, rules)?,
        },
        Request::Delete(delete) => Command::Delete {
            id,
            room: room(&delete.room, rules)?,
            target: Position {
                offset: delete.offset,
                epoch: Epoch::parse(&delete.epoch)
                    .map_err(|error| Fault::bad_request(format!("`epoch`: {error}")))?,
            },
            reason: delete.reason.as_deref().map(reason).transpose()?,
        },
        Request::Auth(auth) => Command::Auth {
            id,
            token: RawToken::new(auth.token.into_owned()),
        },
        Request::Ping => Command::Ping { id },
    })
}

/// The request's own name, if it is short enough to be echoed.
pub(super) fn frame_id(
    id: Option<Cow<'_, str>>,
    rules: &InboundRules,
) -> Result<Option<FrameId>, Fault> {
    let max = rules.frame_id_bytes_max;
    match id {
        Some(id) if id.len() > max => {
            Err(Fault::bad_request(format!("`id` is at most {max} bytes")))
        }
        id => Ok(id.map(|id| id.into_owned().into_boxed_str())),
    }
}

fn room(raw: &str, rules: &InboundRules) -> Result<RoomId, Fault> {
    rules
        .room(raw)
        .map_err(|error| Fault::bad_request(format!("`room`: {error}")))
}

/// A chosen name.
pub(super) fn nickname(raw: &str, rules: &InboundRules) -> Result<Nickname, Fault> {
    rules.chosen_name(raw).map_err(name_fault)
}

/// What a client is told about a name.
pub(super) fn name_fault(error: NicknameError) -> Fault {
    Fault::new(nickname_code(error), error.to_string())
}

/// The text of a message.
pub(super) fn text(raw: &str, rules: &InboundRules) -> Result<CleanText, Fault> {
    rules
        .text(raw)
        .map_err(|error| Fault::new(text_code(error), error.to_string()))
}

fn reason(raw: &str) -> Result<Reason, Fault> {
    Reason::from_untrusted(raw).map_err(|error| Fault::new(text_code(error), error.to_string()))
}

/// The code of a name that was refused.
pub fn nickname_code(error: NicknameError) -> ErrorCode {
    match error {
        NicknameError::Invalid(_) => ErrorCode::NicknameInvalid,
        NicknameError::Reserved => ErrorCode::NicknameReserved,
    }
}

/// The code of a text that was refused.
pub fn text_code(error: TextError) -> ErrorCode {
    match error {
        TextError::Empty => ErrorCode::TextEmpty,
        TextError::TooManyBytes { .. }
        | TextError::TooManyGraphemes { .. }
        | TextError::TooManyLines { .. } => ErrorCode::TextTooLong,
        TextError::Control | TextError::TooManyMarks { .. } => ErrorCode::TextInvalid,
    }
}

/// A number without `prev` follows the one just below it: a client that burnt a number says so.
fn numbered(send: &Send<'_>) -> Option<Numbered> {
    send.seq.map(|seq| Numbered {
        chain: send.chain.unwrap_or_default(),
        seq,
        prev: send.prev.unwrap_or_else(|| seq.saturating_sub(1)),
    })
}
