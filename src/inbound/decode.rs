//! The one strict decoder of `wardroom.v1`: a text frame becomes one [`ClientFrame`] or is refused; next its rate is charged.
//!
//! Known fields are picked out of the object as they stand and each is then read as what its request wants, so that an error
//! can name the field, and a field that a request does not have is ignored whatever it holds.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

use super::reject::Fault;
use crate::protocol::client_frame::{
    Auth, ClientFrame, Delete, History, InRoom, Join, Request, RequestKind, Send,
};

/// Arrays and objects inside the frame's own object.
const NESTING_MAX: usize = 126;
/// Positions of a cursor that are read at all: the largest that `limits.cursor_pairs_max` can be.
const PAIRS_MAX: usize = 16;

/// Why there is no frame.
#[derive(Debug)]
pub(super) enum Undecodable<'a> {
    /// It is not one JSON object, or one that says two things at once. Patience with these is limited.
    Unreadable(&'static str),
    /// It is an object that asks for nothing we know, or not in the way we know.
    Refused {
        id: Option<Cow<'a, str>>,
        kind: Option<RequestKind>,
        fault: Fault,
    },
}

/// Decodes one frame.
pub(super) fn decode(raw: &str) -> Result<ClientFrame<'_>, Undecodable<'_>> {
    // A derived struct would take an array of its fields as well.
    if !raw
        .trim_start_matches([' ', '\t', '\n', '\r'])
        .starts_with('{')
    {
        return Err(Undecodable::Unreadable("a frame is one JSON object"));
    }
    if is_nested_deeper(raw, NESTING_MAX.saturating_add(1)) {
        return Err(Undecodable::Unreadable("the frame is nested too deeply"));
    }
    let fields: Fields<'_> = serde_json::from_str(raw).map_err(|error| {
        // Every known field is taken as it stands: what can be wrong with the data is that one comes twice.
        Undecodable::Unreadable(if error.is_data() {
            "a field comes twice"
        } else {
            "the frame is not valid JSON"
        })
    })?;
    let id = fields.id().map_err(|fault| Undecodable::Refused {
        id: None,
        kind: None,
        fault,
    })?;
    let kind = match fields.kind() {
        Ok(kind) => kind,
        Err(fault) => {
            return Err(Undecodable::Refused {
                id,
                kind: None,
                fault,
            });
        }
    };
    match fields.request(kind) {
        Ok(request) => Ok(ClientFrame { id, request }),
        Err(fault) => Err(Undecodable::Refused {
            id,
            kind: Some(kind),
            fault,
        }),
    }
}

/// The known fields, as they stand.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    room: Option<&'a RawValue>,
    #[serde(borrow)]
    nick: Option<&'a RawValue>,
    #[serde(borrow)]
    since: Option<&'a RawValue>,
    #[serde(borrow)]
    history: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    chain: Option<&'a RawValue>,
    #[serde(borrow)]
    seq: Option<&'a RawValue>,
    #[serde(borrow)]
    prev: Option<&'a RawValue>,
    #[serde(borrow)]
    before: Option<&'a RawValue>,
    #[serde(borrow)]
    limit: Option<&'a RawValue>,
    #[serde(borrow)]
    token: Option<&'a RawValue>,
    #[serde(borrow)]
    offset: Option<&'a RawValue>,
    #[serde(borrow)]
    epoch: Option<&'a RawValue>,
    #[serde(borrow)]
    reason: Option<&'a RawValue>,
}

impl<'a> Fields<'a> {
    fn id(&self) -> Result<Option<Cow<'a, str>>, Fault> {
        optional_text(self.id, "`id` must be a string")
    }

    fn kind(&self) -> Result<RequestKind, Fault> {
        let name = text(self.kind, "`type` is missing", "`type` must be a string")?;
        RequestKind::parse(&name).ok_or_else(|| Fault::bad_request("`type` is not known"))
    }

    fn request(&self, kind: RequestKind) -> Result<Request<'a>, Fault> {
        Ok(match kind {
            RequestKind::Join => Request::Join(Join {
                room: self.room()?,
                nick: optional_text(self.nick, "`nick` must be a string")?,
                since: optional::<Pairs>(
                    self.since,
                    "`since` must be a short list of [offset, epoch] pairs",
                )?
                .unwrap_or_default()
                .0,
                history: optional(self.history, "`history` must be a whole number")?,
            }),
            RequestKind::Leave => Request::Leave(self.in_room()?),
            RequestKind::Send => Request::Send(Send {
                room: self.room()?,
                text: text(self.text, "`text` is missing", "`text` must be a string")?,
                chain: optional(self.chain, "`chain` must be a whole number below 65536")?,
                seq: optional(self.seq, "`seq` must be a whole number")?,
                prev: optional(self.prev, "`prev` must be a whole number")?,
            }),
            RequestKind::History => Request::History(History {
                room: self.room()?,
                before: optional(self.before, "`before` must be a whole number")?,
                limit: optional(self.limit, "`limit` must be a whole number")?,
            }),
            RequestKind::Members => Request::Members(self.in_room()?),
            RequestKind::Typing => Request::Typing(self.in_room()?),
            RequestKind::Delete => Request::Delete(Delete {
                room: self.room()?,
                offset: optional(self.offset, "`offset` must be a whole number")?
                    .ok_or_else(|| Fault::bad_request("`offset` is missing"))?,
                epoch: text(self.epoch, "`epoch` is missing", "`epoch` must be a string")?,
                reason: optional_text(self.reason, "`reason` must be a string")?,
            }),
            RequestKind::Auth => Request::Auth(Auth {
                token: text(self.token, "`token` is missing", "`token` must be a string")?,
            }),
            RequestKind::Ping => Request::Ping,
        })
    }

    fn in_room(&self) -> Result<InRoom<'a>, Fault> {
        Ok(InRoom { room: self.room()? })
    }

    fn room(&self) -> Result<Cow<'a, str>, Fault> {
        text(self.room, "`room` is missing", "`room` must be a string")
    }
}

/// A field that may be absent, or null, which means the same. The decoder's own message is dropped: it repeats the value.
fn optional<'a, T: Deserialize<'a>>(
    field: Option<&'a RawValue>,
    wanted: &'static str,
) -> Result<Option<T>, Fault> {
    field
        .map(|raw| serde_json::from_str(raw.get()))
        .transpose()
        .map_err(|_| Fault::bad_request(wanted))
}

fn optional_text<'a>(
    field: Option<&'a RawValue>,
    wanted: &'static str,
) -> Result<Option<Cow<'a, str>>, Fault> {
    Ok(optional::<Text<'a>>(field, wanted)?.map(|text| text.0))
}

fn text<'a>(
    field: Option<&'a RawValue>,
    missing: &'static str,
    wanted: &'static str,
) -> Result<Cow<'a, str>, Fault> {
    optional_text(field, wanted)?.ok_or_else(|| Fault::bad_request(missing))
}

/// A string, borrowed from the frame when it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The pairs of a cursor; reading stops at the first one too many.
#[derive(Default)]
struct Pairs(Vec<(u64, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Pairs;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of pairs")
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = list.next_element()? {
                    if pairs.len() == PAIRS_MAX {
                        return Err(de::Error::custom("too many"));
                    }
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_seq(Visitor)
    }
}

/// Whether arrays and objects are nested more than `max` deep. What is no JSON may get either answer: the parser refuses it.
fn is_nested_deeper(raw: &str, max: usize) -> bool {
    // Most frames have few brackets in all; a sum that may wrap is one that compiles to vector code. It cannot wrap: a frame
    // is far smaller than 4 GiB.
    let opens = |byte: u8| u32::from(matches!(byte, b'{' | b'['));
    let brackets = raw
        .bytes()
        .fold(0_u32, |sum, byte| sum.wrapping_add(opens(byte)));
    if usize::try_from(brackets).is_ok_and(|brackets| brackets <= max) {
        return false;
    }
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for byte in raw.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => {
                depth = depth.saturating_add(1);
                if depth > max {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{Undecodable, decode};
    use crate::protocol::client_frame::{Request, RequestKind};

    fn unreadable(raw: &str) -> bool {
        matches!(decode(raw), Err(Undecodable::Unreadable(_)))
    }

    /// What a refused frame is told, and that its `id` could be read.
    fn refused(raw: &str) -> String {
        match decode(raw) {
            Err(Undecodable::Refused { id, fault, .. }) => {
                assert_eq!(id.as_deref(), Some("7"), "{raw}");
                fault.detail.into_owned()
            }
            other => panic!("{raw}: {other:?}"),
        }
    }

    #[test]
    fn s1_what_is_not_one_json_object_is_unreadable() {
        for raw in [
            "",
            " ",
            "{",
            "{\"type\":\"ping\"",
            "{\"type\":\"ping\",}",
            "{\"type\":\"ping\"} // x",
            "{\"type\":\"ping\"/* x */}",
            "{\"type\":\"ping\",\"x\":NaN}",
            "{'type':'ping'}",
            "\u{FEFF}{\"type\":\"ping\"}",
            "{\"type\":\"ping\"}{\"type\":\"ping\"}",
            "{\"type\":\"ping\"} []",
            "{\"type\":\"ping\",\"x\":01}",
            "{\"type\":\"ping\",\"x\":\"\n\"}",
            "{\"type\":\"ping\"}\0",
        ] {
            assert!(unreadable(raw), "{raw:?}");
        }
        assert!(decode(" \t\r\n{\"type\":\"ping\"} \n").is_ok());
    }

    #[test]
    fn s2_nesting_is_bounded_also_where_it_is_ignored() {
        let nested = |field: &str, depth: usize| {
            format!(
                "{{\"type\":\"ping\",\"{field}\":{}{}}}",
                "[".repeat(depth),
                "]".repeat(depth)
            )
        };
        for field in ["x", "text"] {
            assert!(decode(&nested(field, 126)).is_ok());
            assert!(unreadable(&nested(field, 127)));
            assert!(unreadable(&nested(field, 10_000)));
        }
        let objects = |depth: usize| format!("{}{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert!(unreadable(&objects(10_000)));
        let many_but_flat = format!(
            "{{\"type\":\"ping\",\"x\":[{}]}}",
            vec!["[]"; 1000].join(",")
        );
        assert!(decode(&many_but_flat).is_ok());
        let in_a_string = format!("{{\"type\":\"ping\",\"x\":\"{}\\\"\"}}", "[{".repeat(1000));
        assert!(decode(&in_a_string).is_ok());
    }

    #[test]
    fn s3_no_known_field_comes_twice() {
        for raw in [
            r#"{"type":"ping","type":"ping"}"#,
            r#"{"type":"ping","\u0074ype":"ping"}"#,
            r#"{"type":"send","room":"a","room":"b","text":"x"}"#,
            r#"{"type":"send","room":"a","text":"x","text":"y"}"#,
            r#"{"type":"ping","id":null,"id":"1"}"#,
            r#"{"type":"ping","nick":1,"nick":2}"#,
        ] {
            assert!(unreadable(raw), "{raw}");
        }
        assert!(decode(r#"{"type":"ping","x":1,"x":2}"#).is_ok());
    }

    #[test]
    fn s4_the_type_is_one_of_ours() {
        for (raw, detail) in [
            (r#"{"id":"7"}"#, "`type` is missing"),
            (r#"{"id":"7","type":null}"#, "`type` is missing"),
            (r#"{"id":"7","type":5}"#, "`type` must be a string"),
            (r#"{"id":"7","type":"Send"}"#, "`type` is not known"),
            (r#"{"id":"7","type":"send\u0000"}"#, "`type` is not known"),
            (r#"{"id":"7","type":"welcome"}"#, "`type` is not known"),
            (r#"{"id":"7","type":""}"#, "`type` is not known"),
        ] {
            assert_eq!(refused(raw), detail);
        }
    }

    #[test]
    fn s5_only_an_object_is_a_frame() {
        for raw in [
            r#"["send","lobby","hi"]"#,
            r#"["ping","1","a",null,null,null,null,null,null,null,null,null,null]"#,
            r#""send""#,
            "5",
            "null",
            "true",
            "[]",
        ] {
            assert!(unreadable(raw), "{raw}");
        }
    }

    #[test]
    fn s6_a_wrong_type_is_named_by_its_field_and_never_repeated() {
        let values = [
            "5",
            "-1",
            "1.5",
            "true",
            "\"secret\"",
            "[]",
            "{}",
            "[\"secret\"]",
            "1e400",
            "18446744073709551616",
        ];
        let strings = ["\"secret\""];
        let numbers = ["5"];
        let lists = ["[]"];
        let frames: [(&str, &[&str], &str, &[&str]); 14] = [
            ("join", &["room"], "room", &strings),
            ("join", &["room"], "nick", &strings),
            ("join", &["room"], "since", &lists),
            ("join", &["room"], "history", &numbers),
            ("send", &["room", "text"], "text", &strings),
            ("send", &["room", "text"], "chain", &numbers),
            ("send", &["room", "text"], "seq", &numbers),
            ("send", &["room", "text"], "prev", &numbers),
            ("history", &["room"], "before", &numbers),
            ("history", &["room"], "limit", &numbers),
            ("auth", &["token"], "token", &strings),
            ("delete", &["room", "offset", "epoch"], "offset", &numbers),
            ("delete", &["room", "offset", "epoch"], "epoch", &strings),
            ("delete", &["room", "offset", "epoch"], "reason", &strings),
        ];
        for (kind, needs, field, right) in frames {
            for value in values {
                let mut raw = format!("{{\"id\":\"7\",\"type\":\"{kind}\",\"{field}\":{value}");
                for need in needs.iter().filter(|need| **need != field) {
                    let value = if *need == "offset" { "1" } else { "\"x\"" };
                    raw = format!("{raw},\"{need}\":{value}");
                }
                raw.push('}');
                if right.contains(&value) {
                    assert!(decode(&raw).is_ok(), "{raw}");
                } else {
                    let detail = refused(&raw);
                    assert!(
                        detail.starts_with(&format!("`{field}` must be")),
                        "{raw}: {detail}"
                    );
                    assert!(!detail.contains("secret"), "{detail}");
                }
            }
        }
        for raw in [r#"{"type":"ping","id":5}"#, r#"{"type":"ping","id":["7"]}"#] {
            assert!(
                matches!(decode(raw), Err(Undecodable::Refused { id: None, .. })),
                "{raw}"
            );
        }
        for raw in [
            r#"{"id":"7","type":"join","room":"a","since":[[1]]}"#,
            r#"{"id":"7","type":"join","room":"a","since":[[1,"a","b"]]}"#,
            r#"{"id":"7","type":"join","room":"a","since":[[-1,"a"]]}"#,
            r#"{"id":"7","type":"join","room":"a","since":[["1","a"]]}"#,
            r#"{"id":"7","type":"join","room":"a","since":[1,"a"]}"#,
            &format!(
                r#"{{"id":"7","type":"join","room":"a","since":[{}]}}"#,
                vec![r#"[1,"a"]"#; 17].join(",")
            ),
        ] {
            assert!(refused(raw).starts_with("`since` must be"), "{raw}");
        }
    }

    #[test]
    fn what_a_request_needs_is_named_when_it_is_missing() {
        for (raw, detail) in [
            (r#"{"id":"7","type":"join"}"#, "`room` is missing"),
            (
                r#"{"id":"7","type":"send","room":"a"}"#,
                "`text` is missing",
            ),
            (
                r#"{"id":"7","type":"send","room":"a","text":null}"#,
                "`text` is missing",
            ),
            (r#"{"id":"7","type":"auth"}"#, "`token` is missing"),
            (r#"{"id":"7","type":"typing"}"#, "`room` is missing"),
            (
                r#"{"id":"7","type":"delete","room":"a","epoch":"1"}"#,
                "`offset` is missing",
            ),
            (
                r#"{"id":"7","type":"delete","room":"a","offset":1}"#,
                "`epoch` is missing",
            ),
        ] {
            assert_eq!(refused(raw), detail);
        }
    }

    #[test]
    fn s7_s8_fields_that_a_request_does_not_have_are_ignored_whatever_they_hold() {
        let raw = r#"{"type":"send","room":"a","text":"x","user":"u_x","nick":5,"verified":true,"ts":0,"offset":1,"epoch":[],
            "html":"<b>","message":{},"since":"no","limit":{},"token":1,"history":"x","new":null}"#;
        let frame = decode(raw).expect("a send");
        let Request::Send(send) = frame.request else {
            panic!("a send")
        };
        assert_eq!((&*send.room, &*send.text, send.seq), ("a", "x", None));
    }

    #[test]
    fn s9_lone_surrogates_are_refused() {
        for text in [r"\ud800", r"\udc00\ud800", r"\ud800x", r"\ud83d\u0041"] {
            let raw = format!(r#"{{"id":"7","type":"send","room":"a","text":"{text}"}}"#);
            assert_eq!(refused(&raw), "`text` must be a string");
        }
        let frame = decode(r#"{"type":"send","room":"a","text":"\ud83d\ude00 \u00e9"}"#)
            .expect("a pair is a character");
        let Request::Send(send) = frame.request else {
            panic!("a send")
        };
        assert_eq!(send.text, "😀 é");
    }

    #[test]
    fn every_kind_of_request_is_read() {
        for kind in RequestKind::ALL {
            let raw = format!(
                r#"{{"type":"{}","room":"a","text":"x","token":"t","offset":1,"epoch":"1"}}"#,
                kind.name()
            );
            assert_eq!(decode(&raw).expect("complete").request.kind(), kind);
        }
        let raw = r#"{"type":"join","id":"1","room":"lobby","nick":"Alice","since":[[42,"5f3a"]],"history":50}"#;
        let Request::Join(join) = decode(raw).expect("a join").request else {
            panic!("a join")
        };
        assert_eq!(join.since, [(42, "5f3a".to_owned())]);
        assert_eq!(
            (join.nick.as_deref(), join.history),
            (Some("Alice"), Some(50))
        );
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(raw in any::<String>()) {
            decode(&raw).ok();
            decode(&format!("{{{raw}")).ok();
            decode(&format!("{{\"type\":\"send\",{raw}}}")).ok();
        }
    }
}
