//! What to write instead, for keys whose types have a form of their own.

use crate::config::finding::{nearest, shown};

/// The type's own error as a sentence that helps.
pub(super) fn explain(name: &str, error: &str) -> String {
    if let Some((written, choices)) = choice(error) {
        let near = nearest(written, choices.iter().copied());
        let list = choices
            .iter()
            .map(|one| format!("\"{one}\""))
            .collect::<Vec<_>>()
            .join(", ");
        return match near {
            Some(near) => format!(
                "\"{}\" is none of {list}; did you mean \"{near}\"?",
                shown(written)
            ),
            None => format!("\"{}\" is none of {list}", shown(written)),
        };
    }
    match name {
        "listen.public" | "listen.admin" => {
            "must be an address and a port, as 0.0.0.0:8443 or [::1]:8443".to_owned()
        }
        "listen.trusted_proxies" => {
            "each must be a network, as 10.0.0.0/8, fd00::/8, or 192.0.2.7/32 for one address"
                .to_owned()
        }
        _ => shown(error),
    }
}

/// The word that was written and the words that there are, from serde's sentence about an enum: all in backquotes, the
/// written one first. Should the sentence change one day, the finding shows it as it is.
fn choice(error: &str) -> Option<(&str, Vec<&str>)> {
    let rest = error.strip_prefix("unknown variant `")?;
    let (written, rest) = rest.rsplit_once("`, expected ")?;
    let choices: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    (!choices.is_empty()).then_some((written, choices))
}

#[cfg(test)]
mod tests {
    use super::explain;

    #[test]
    fn a_wrong_word_is_answered_with_the_right_ones() {
        assert_eq!(
            explain(
                "log.engine",
                "unknown variant `sqllite`, expected one of `memory`, `sqlite`, `redis`"
            ),
            "\"sqllite\" is none of \"memory\", \"sqlite\", \"redis\"; did you mean \"sqlite\"?"
        );
        assert_eq!(
            explain("tls.mode", "unknown variant `x`, expected `files` or `off`"),
            "\"x\" is none of \"files\", \"off\""
        );
    }
}
