//! Is a decoded request within bounds? The coarse net of the `validator` attributes first, then what depends on the
//! configuration or on two fields at once; next its strings become trusted values.

use validator::{Validate, ValidationErrors};

use super::{reject::Fault, rules::InboundRules};
use crate::{
    config::{content::Content, limits::Limits, nicknames::Nicknames},
    domain::{
        nickname::{NameBounds, NameRules},
        text::TextRules,
    },
    protocol::client_frame::{Request, Send},
};

/// What names must obey, from the configuration.
pub fn name_rules(nicknames: &Nicknames, limits: &Limits) -> NameRules {
    let bounds = NameBounds {
        raw_bytes_max: limits.nick_raw_bytes_max,
        bytes_max: limits.nick_bytes_max,
        graphemes_max: limits.nick_graphemes_max,
    };
    NameRules::new(bounds, nicknames.reserved.iter().map(String::as_str))
}

/// What texts must obey, from the configuration.
pub fn text_rules(content: &Content, limits: &Limits) -> TextRules {
    TextRules {
        bytes_max: content.text_bytes_max,
        graphemes_max: content.text_graphemes_max,
        lines_max: content.lines_max,
        marks_max: limits.text_marks_max,
    }
}

/// Checks everything about a request that is not the content of a string.
pub(super) fn validate(request: &Request<'_>, rules: &InboundRules) -> Result<(), Fault> {
    let page_max = rules.history_page_max;
    match request {
        Request::Join(join) => {
            net(join)?;
            let more = join.history.is_some_and(|history| history > page_max);
            if more {
                Err(Fault::bad_request(format!(
                    "`history` is at most {page_max}"
                )))
            } else {
                Ok(())
            }
        }
        Request::Send(send) => {
            net(send)?;
            check_numbering(send)
        }
        Request::History(history) => {
            net(history)?;
            let more = history.limit.is_some_and(|limit| limit > page_max);
            if more {
                Err(Fault::bad_request(format!(
                    "`limit` is from 1 to {page_max}"
                )))
            } else {
                Ok(())
            }
        }
        Request::Leave(it) | Request::Members(it) | Request::Typing(it) => net(it),
        Request::Delete(delete) => net(delete),
        Request::Auth(auth) => net(auth),
        Request::Ping => Ok(()),
    }
}

/// The coarse net. Its errors hold the refused value, so nothing of them is told but the field's name.
fn net(request: &impl Validate) -> Result<(), Fault> {
    request.validate().map_err(|errors: ValidationErrors| {
        let field = errors
            .errors()
            .keys()
            .min()
            .map_or("a field", |field| field);
        Fault::bad_request(format!("`{field}` is out of range"))
    })
}

/// A message is numbered from 1, after the one before it, or not at all.
fn check_numbering(send: &Send<'_>) -> Result<(), Fault> {
    match send.seq {
        None if send.prev.is_some() || send.chain.is_some() => {
            Err(Fault::bad_request("`chain` and `prev` need a `seq`"))
        }
        Some(seq) if send.prev.is_some_and(|prev| prev >= seq) => {
            Err(Fault::bad_request("`prev` is below `seq`"))
        }
        _ => Ok(()),
    }
}
