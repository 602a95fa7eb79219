//! Text as markup that is safe to insert as element content, for sessions that asked for it. Canonical text comes from the
//! hub, once per entry; markup with a link in it is proved harmless by ammonia, which lives in this file alone, and goes into the
//! frame.

use std::{collections::HashSet, sync::Arc};

use ammonia::{Builder, Url, UrlRelative};
use unicode_normalization::char::is_combining_mark;

use crate::telemetry::metrics::Metrics;

/// What every link says about where it leads: nothing of ours goes there, and nobody is vouched for.
const LINK_REL: &str = "noopener noreferrer nofollow ugc";
/// A longer address stays text: no browser that is in use takes much more, and an `href` may grow threefold by its encoding.
const URL_BYTES_MAX: usize = 2048;
/// Tags of the links of one text; further links stay text. A parser takes its time for each `&amp;`, so an address of nothing
/// else would be the dearest text of all; twenty links that fill a text of 4 KiB in a usual way take 6 KiB.
const TAGS_BYTES_MAX: usize = 8192;

/// Makes markup of text. One for the node: the verifier's tables are built once.
pub struct HtmlDeriver {
    links_max: usize,
    verifier: Builder<'static>,
    metrics: Arc<Metrics>,
}

impl HtmlDeriver {
    /// A deriver that makes at most `links_max` links of one text.
    pub fn new(links_max: usize, metrics: Arc<Metrics>) -> Self {
        let mut verifier = Builder::empty();
        verifier
            .tags(HashSet::from(["a", "br"]))
            .clean_content_tags(HashSet::new())
            .tag_attributes([("a", HashSet::from(["href"]))].into())
            .generic_attributes(HashSet::new())
            .url_schemes(HashSet::from(["http", "https"]))
            .url_relative(UrlRelative::Deny)
            .link_rel(Some(LINK_REL));
        Self {
            links_max,
            verifier,
            metrics,
        }
    }

    /// The markup of a canonical text. It shows the text as it is, with a `<br>` for each line feed and links where the text
    /// names an address.
    pub fn derive(&self, text: &str) -> String {
        // Without these bytes there is nothing to escape, to break or to link. 0xC2 begins a no-break space, among others.
        let special = |byte: u8| u8::from(matches!(byte, b'&' | b'<' | b'>' | b':' | b'\n' | 0xC2));
        if text.bytes().fold(0, |found, byte| found | special(byte)) == 0 {
            return text.to_owned();
        }
        self.write(text).unwrap_or_else(|| {
            self.metrics.html_disagreements.inc();
            escaped(text)
        })
    }

    /// Nothing, when the verifier would change it. Without a link it is what [`escaped`] gives, which is also what is sent when
    /// the verifier disagrees: its word would change nothing but the time.
    fn write(&self, text: &str) -> Option<String> {
        let mut html = String::with_capacity(text.len() + text.len() / 4);
        let mut tags_bytes = 0;
        let mut rest = text;
        for _ in 0..self.links_max {
            let Some(link) = Link::find(rest) else { break };
            let tag = link.tag();
            if tags_bytes + tag.len() > TAGS_BYTES_MAX {
                break;
            }
            tags_bytes += tag.len();
            escape(link.before, &mut html);
            html.push_str(&tag);
            escape(link.shown, &mut html);
            html.push_str("</a>");
            rest = link.after;
        }
        escape(rest, &mut html);
        let harmless = tags_bytes == 0 || self.verifier.clean(&html).to_string() == html;
        harmless.then_some(html)
    }
}

/// Text without links.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    escape(text, &mut html);
    html
}

/// Writes text exactly as the verifier's serializer does, so that it has nothing to change: quotes as they are, a no-break
/// space by name. An encoded address has no quote in it.
fn escape(text: &str, html: &mut String) {
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '\u{A0}' => html.push_str("&nbsp;"),
            '\n' => html.push_str("<br>"),
            _ => html.push(c),
        }
    }
}

/// An address in a text.
struct Link<'a> {
    before: &'a str,
    shown: &'a str,
    url: Url,
    after: &'a str,
}

impl<'a> Link<'a> {
    /// The tag that opens it.
    fn tag(&self) -> String {
        let mut tag = String::from("<a href=\"");
        escape(self.url.as_str(), &mut tag);
        tag.push_str("\" rel=\"");
        tag.push_str(LINK_REL);
        tag.push_str("\">");
        tag
    }

    /// The first address of a text that may become a link. Looks at no part of the text more than a few times, whatever it
    /// holds: the text is a stranger's.
    fn find(text: &'a str) -> Option<Self> {
        let mut from = 0;
        while let Some(found) = text.get(from..)?.find("://") {
            let slashes = from + found;
            match Self::at(text, slashes) {
                Some(link) if link.shown.len() <= URL_BYTES_MAX => return Some(link),
                Some(too_long) => from = text.len() - too_long.after.len(),
                None => from = slashes + 3,
            }
        }
        None
    }

    /// The address whose scheme ends at `slashes`. The host is judged before anything after it is looked at.
    fn at(text: &'a str, slashes: usize) -> Option<Self> {
        let start = scheme_start(text, slashes)?;
        let (before, from) = text.split_at_checked(start)?;
        let ends_host = |c: char| matches!(c, '/' | '?' | '#') || !is_part_of_address(c);
        let after_slashes = slashes + 3;
        let host_len = text.get(after_slashes..)?.find(ends_host);
        let host_end = host_len.map_or(from.len(), |len| after_slashes + len - start);
        let (to_host, rest) = from.split_at_checked(host_end)?;
        let shown = if rest.starts_with(['/', '?', '#']) {
            parse(to_host)?;
            address(from)
        } else {
            address(to_host)
        };
        Some(Self {
            before,
            shown,
            url: parse(shown)?,
            after: from.get(shown.len()..)?,
        })
    }
}

/// Where `http` or `https` begins before `slashes`, unless it is the end of a longer word.
fn scheme_start(text: &str, slashes: usize) -> Option<usize> {
    let head = text.get(..slashes)?;
    ["https", "http"].into_iter().find_map(|scheme| {
        let start = slashes.checked_sub(scheme.len())?;
        let same = head.get(start..)?.eq_ignore_ascii_case(scheme);
        let alone = !head.get(..start)?.ends_with(char::is_alphanumeric);
        (same && alone).then_some(start)
    })
}

/// As much of the start of `from` as looks like an address, without the punctuation of the sentence around it.
fn address(from: &str) -> &str {
    let end = from.find(|c| !is_part_of_address(c)).unwrap_or(from.len());
    let mut address = from.get(..end).unwrap_or_default();
    let count = |sign: char| address.matches(sign).count();
    let mut surplus_round = count(')').saturating_sub(count('('));
    let mut surplus_square = count(']').saturating_sub(count('['));
    while let Some(last) = address.chars().next_back() {
        let surplus = match last {
            '.' | ',' | ';' | ':' | '!' | '?' | '\'' | '*' | '_' | '~' => &mut 1,
            ')' => &mut surplus_round,
            ']' => &mut surplus_square,
            _ => break,
        };
        if *surplus == 0 {
            break;
        }
        *surplus -= 1;
        address = address.strip_suffix(last).unwrap_or_default();
    }
    address
}

/// What RFC 3986 admits, and the letters that a browser encodes. A mark belongs to its letter, so that a host is never cut
/// in the middle of one.
fn is_part_of_address(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}')
    } else {
        c.is_alphanumeric() || is_combining_mark(c)
    }
}

/// The address as it is followed: an ASCII host that means itself, a port perhaps, no user information.
fn parse(address: &str) -> Option<Url> {
    let (_, rest) = address.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (host, port) = authority.split_once(':').unwrap_or((authority, "0"));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let ends = |c: char| c.is_ascii_alphanumeric();
    if !host.starts_with(ends)
        || !host.ends_with(ends)
        || !host.bytes().all(plain)
        || !port.bytes().all(|byte| byte.is_ascii_digit())
    {
        return None;
    }
    // A host such as `0x7f.1` is read as another one than it shows.
    Url::parse(address).ok().filter(|url| {
        url.host_str()
            .is_some_and(|read| read.eq_ignore_ascii_case(host))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{HtmlDeriver, LINK_REL};
    use crate::telemetry::metrics::Metrics;

    fn deriver() -> (HtmlDeriver, Arc<Metrics>) {
        let metrics = Metrics::new();
        (HtmlDeriver::new(20, Arc::clone(&metrics)), metrics)
    }

    fn html(text: &str) -> String {
        let (deriver, metrics) = deriver();
        let html = deriver.derive(text);
        assert_eq!(metrics.html_disagreements.get(), 0, "{text}");
        assert_eq!(verified(&deriver, &html), html, "{text}");
        html
    }

    /// The whole markup, not only its links, as the verifier lets it pass.
    fn verified(deriver: &HtmlDeriver, html: &str) -> String {
        deriver.verifier.clean(html).to_string()
    }

    fn link(href: &str, shown: &str) -> String {
        format!("<a href=\"{href}\" rel=\"{LINK_REL}\">{shown}</a>")
    }

    /// What a browser would show: the text content, with a line feed for each `<br>`.
    fn shown(html: &str) -> String {
        let mut text = String::new();
        let mut rest = html.replace("<br>", "\n");
        while let Some(at) = rest.find('<') {
            text.push_str(&rest[..at]);
            let end = rest.find('>').expect("a tag ends");
            assert!(
                rest[at..].starts_with("<a href=\"http") || rest[at..].starts_with("</a>"),
                "{html}"
            );
            rest = rest[end + 1..].to_owned();
        }
        text.push_str(&rest);
        text.replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&nbsp;", "\u{A0}")
            .replace("&amp;", "&")
    }

    #[test]
    fn t1_to_t6_markup_is_shown_and_not_made() {
        for (text, expected) in [
            ("hello", "hello"),
            (
                "<script>alert(1)</script>",
                "&lt;script&gt;alert(1)&lt;/script&gt;",
            ),
            (
                "<img src=x onerror=\"a\">",
                "&lt;img src=x onerror=\"a\"&gt;",
            ),
            ("Tom & Jerry", "Tom &amp; Jerry"),
            ("1 <y and z>2", "1 &lt;y and z&gt;2"),
            ("\"q\" it's", "\"q\" it's"),
            ("&lt;script&gt;", "&amp;lt;script&amp;gt;"),
            ("&nbsp", "&amp;nbsp"),
            ("a\u{A0}b", "a&nbsp;b"),
            ("20 °C", "20 °C"),
            ("a\nb\n\nc", "a<br>b<br><br>c"),
            ("javascript:alert(1)", "javascript:alert(1)"),
            ("data:text/html,<b>", "data:text/html,&lt;b&gt;"),
            ("vbscript://x", "vbscript://x"),
        ] {
            assert_eq!(html(text), expected);
        }
    }

    #[test]
    fn t7_only_plain_addresses_become_links() {
        for (text, expected) in [
            (
                "https://example.org",
                link("https://example.org/", "https://example.org"),
            ),
            (
                "see http://a.b/c?d=1&e=2.",
                format!(
                    "see {}.",
                    link("http://a.b/c?d=1&amp;e=2", "http://a.b/c?d=1&amp;e=2")
                ),
            ),
            (
                "(https://a.b/c_(d))",
                format!("({})", link("https://a.b/c_(d)", "https://a.b/c_(d)")),
            ),
            (
                "<https://a.b>",
                format!("&lt;{}&gt;", link("https://a.b/", "https://a.b")),
            ),
            (
                "is it http://a.b/?",
                format!("is it {}?", link("http://a.b/", "http://a.b/")),
            ),
            ("http://a.b?c=d", link("http://a.b/?c=d", "http://a.b?c=d")),
            (
                "HTTPS://A.B/x:8",
                link("https://a.b/x:8", "HTTPS://A.B/x:8"),
            ),
            (
                "http://localhost:8080/",
                link("http://localhost:8080/", "http://localhost:8080/"),
            ),
            (
                "https://de.example/Zürich",
                link(
                    "https://de.example/Z%C3%BCrich",
                    "https://de.example/Zürich",
                ),
            ),
            (
                "https://a.b/'x'y",
                link("https://a.b/'x'y", "https://a.b/'x'y"),
            ),
            (
                "https://a.b\nhttp://c.d",
                format!(
                    "{}<br>{}",
                    link("https://a.b/", "https://a.b"),
                    link("http://c.d/", "http://c.d")
                ),
            ),
        ] {
            assert_eq!(html(text), expected, "{text}");
        }
        for text in [
            "http://evil@good.com",
            "https://user:pass@good.com/",
            "https://bücher.example",
            "https://good\u{301}.com",
            "https://good.com\u{301}",
            "https://",
            "https:///path",
            "http://:80/",
            "http://a.b:99999/",
            "http://a.b:8o/",
            "http://0x7f.1/",
            "http://0x7f.1",
            "http://a.b./c",
            "http://user@a.b/c",
            "//evil",
            "www.x",
            "xhttp://a.b",
            "ähttp://a.b",
            "ftp://a.b",
            "http:/a.b",
            "http://-",
            "https://[::1]/",
            &format!("https://a.b/{}", "c".repeat(4096)),
        ] {
            assert!(!html(text).contains("<a "), "{text}: {}", html(text));
            assert_eq!(shown(&html(text)), text);
        }
    }

    #[test]
    fn t7_a_backslash_never_moves_the_host() {
        assert_eq!(
            html("https://good.com\\@evil.com"),
            format!(
                "{}\\@evil.com",
                link("https://good.com/", "https://good.com")
            )
        );
    }

    #[test]
    fn t7_links_beyond_the_limit_stay_text() {
        let text = vec!["https://a.b/c"; 21].join(" ");
        assert_eq!(html(&text).matches("<a ").count(), 20);
        assert!(html(&text).ends_with("</a> https://a.b/c"));
        let none = HtmlDeriver::new(0, Metrics::new());
        assert_eq!(none.derive("https://a.b"), "https://a.b");
    }

    #[test]
    fn what_the_verifier_would_change_leaves_as_escaped_text_and_counts() {
        let (mut deriver, metrics) = deriver();
        deriver.verifier.link_rel(None);
        assert_eq!(deriver.derive("https://a.b\n<"), "https://a.b<br>&lt;");
        assert_eq!(metrics.html_disagreements.get(), 1);
    }

    #[test]
    fn t9_the_verifier_changes_nothing_and_the_text_stays() {
        const PARTS: &[&str] = &[
            "<",
            ">",
            "&",
            "&amp;",
            "&#60;",
            "\"",
            "'",
            "\n",
            "\t",
            " ",
            "\u{A0}",
            "é",
            "a",
            "http://",
            "https://a.b",
            "HTTP://X",
            "/",
            "?",
            "#",
            "%",
            "%zz",
            ":",
            "@",
            "//",
            "[",
            "]",
            "(",
            ")",
            ".",
            ",",
            "xn--",
            "-",
            "<a href=",
            "</a>",
            "<br>",
            "<!--",
            "-->",
            "]]>",
            "<svg>",
            "<math>",
            "<style>",
            "<plaintext>",
            "\u{301}",
            "\u{2028}",
            "😀",
            "ß",
            "0x7f",
            "1",
            ":80",
            "~",
            "{",
            "}",
            "|",
            "\\",
            "^",
            "`",
            "$",
            "=",
            ";",
        ];
        let mut random = fastrand::Rng::with_seed(9);
        let (deriver, metrics) = deriver();
        for _ in 0..100_000 {
            let text: String = (0..random.usize(0..12))
                .map(|_| *random.choice(PARTS).expect("there are some"))
                .collect();
            let html = deriver.derive(&text);
            assert_eq!(metrics.html_disagreements.get(), 0, "{text:?} {html:?}");
            assert_eq!(shown(&html), text, "{html:?}");
            assert_eq!(verified(&deriver, &html), html, "{text:?}");
            assert_eq!(deriver.derive(&text), html);
        }
    }

    #[test]
    fn one_deriver_serves_every_thread() {
        fn shared<T: Send + Sync>() {}
        shared::<HtmlDeriver>();
    }

    #[test]
    fn t18_the_worst_texts_are_literal() {
        for part in [
            "<ul><li>",
            "&",
            "<!--",
            "http://a.b ",
            "://",
            "https://a.b/((((((((",
            "http://a.b/))))))))",
            "http://@",
            "http://0x1/",
            "http://a.b/",
            "http://a./",
            "http://a..",
        ] {
            let text = part.repeat(4096 / part.len());
            assert_eq!(shown(&html(&text)), text);
        }
    }

    #[test]
    fn t18_links_that_would_take_long_to_verify_stay_text() {
        let link_of = |path: &str, bytes: usize| {
            let rest = bytes - "http://a.b/ ".len();
            format!("http://a.b/{} ", path.repeat(rest / path.len()))
        };
        for (text, links) in [
            (link_of("&", 2048).repeat(2), 0),
            (link_of("&", 1024).repeat(4), 1),
            (link_of("&", 400).repeat(10), 4),
            (link_of("\u{e9}", 2048).repeat(2), 1),
            (link_of("a", 2048).repeat(2), 2),
            (link_of("a", 200).repeat(20), 20),
            (link_of("parameter=v&", 200).repeat(20), 20),
        ] {
            assert_eq!(html(&text).matches("<a ").count(), links, "{text:.40}");
            assert_eq!(shown(&html(&text)), text);
        }
    }
}
