//! One event becomes one line: a JSON object, or text for people. Every string passes [`LogSafe`] here, whoever wrote the
//! event, so that no line can be forged; names of fields are constants of the program.

use std::{
    fmt::{self, Debug, Write as _},
    io::Write as _,
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    fmt::{
        MakeWriter,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    layer::{Context, Layer},
    registry::LookupSpan,
};

use crate::{config::telemetry::LogFormat, telemetry::log_safe::LogSafe};

/// Writes events through `M`.
pub(super) struct Lines<M> {
    pub(super) format: LogFormat,
    /// `limits.log_field_chars_max`.
    pub(super) chars_max: usize,
    /// Whether the level may be coloured: text on a terminal.
    pub(super) colours: bool,
    pub(super) writer: M,
    /// Called after each line; notices what the queue dropped.
    pub(super) after: Box<dyn Fn() + Send + Sync>,
}

/// A value as JSON writes it, and whether it is a string.
#[derive(Clone)]
enum Shown {
    /// A number, `true` or `false`.
    Plain(String),
    /// Safe already, not yet in quotes.
    Text(String),
}

/// Fields in the order in which they came; a later one of the same name replaces the earlier.
#[derive(Clone)]
struct Fields {
    chars_max: usize,
    message: String,
    all: Vec<(&'static str, Shown)>,
}

impl Fields {
    fn new(chars_max: usize) -> Self {
        Self {
            chars_max,
            message: String::new(),
            all: Vec::new(),
        }
    }

    fn put(&mut self, field: &Field, shown: Shown) {
        let name = field.name();
        match (name, &shown) {
            ("message", Shown::Text(text)) => text.clone_into(&mut self.message),
            _ => match self.all.iter_mut().find(|(known, _)| *known == name) {
                Some((_, earlier)) => *earlier = shown,
                None => self.all.push((name, shown)),
            },
        }
    }

    fn put_text(&mut self, field: &Field, raw: &str) {
        let safe = LogSafe::cut_at(raw, self.chars_max).to_string();
        self.put(field, Shown::Text(safe));
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put_text(field, &format!("{value:?}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Shown::Plain(value.to_string()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Shown::Plain(value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Shown::Plain(value.to_string()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no infinity; `null` would hide that there was something.
        if value.is_finite() {
            self.put(field, Shown::Plain(value.to_string()));
        } else {
            self.put_text(field, &value.to_string());
        }
    }
}

impl<S, M> Layer<S> for Lines<M>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    M: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::new(self.chars_max);
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::new(self.chars_max);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<Fields>() {
                // From the inside out: what an inner span said stays.
                let mut merged = outer.clone();
                merged
                    .all
                    .retain(|(name, _)| !fields.all.iter().any(|(known, _)| known == name));
                fields.all.splice(0..0, merged.all);
            }
        }
        event.record(&mut fields);
        let metadata = event.metadata();
        let mut line = String::with_capacity(256);
        let written = match self.format {
            LogFormat::Json => json(&mut line, *metadata.level(), metadata.target(), &fields),
            LogFormat::Text => text(
                &mut line,
                *metadata.level(),
                metadata.target(),
                &fields,
                self.colours,
            ),
        };
        written.expect("a string takes what is written to it");
        // There is nobody left to tell when the log itself cannot be written.
        self.writer.make_writer().write_all(line.as_bytes()).ok();
        (self.after)();
    }
}

/// Names that every line has.
const OWN: [&str; 3] = ["timestamp", "level", "target"];

fn json(line: &mut String, level: Level, target: &str, fields: &Fields) -> fmt::Result {
    line.push_str("{\"timestamp\":\"");
    SystemTime.format_time(&mut Writer::new(line))?;
    write!(
        line,
        "\",\"level\":\"{level}\",\"target\":\"{target}\",\"message\":"
    )?;
    quote(line, &fields.message)?;
    for (name, value) in &fields.all {
        let prefix = if OWN.contains(name) { "field." } else { "" };
        write!(line, ",\"{prefix}{name}\":")?;
        match value {
            Shown::Plain(plain) => line.push_str(plain),
            Shown::Text(text) => quote(line, text)?,
        }
    }
    line.push_str("}\n");
    Ok(())
}

fn quote(line: &mut String, text: &str) -> fmt::Result {
    let quoted = serde_json::to_string(text).map_err(|_| fmt::Error)?;
    line.write_str(&quoted)
}

fn text(
    line: &mut String,
    level: Level,
    target: &str,
    fields: &Fields,
    colours: bool,
) -> fmt::Result {
    SystemTime.format_time(&mut Writer::new(line))?;
    if colours {
        let colour = match level {
            Level::ERROR => 31,
            Level::WARN => 33,
            Level::INFO => 32,
            _ => 36,
        };
        write!(line, " \u{1b}[{colour}m{level:>5}\u{1b}[0m")?;
    } else {
        write!(line, " {level:>5}")?;
    }
    write!(line, " {target}: {}", fields.message)?;
    for (name, value) in &fields.all {
        match value {
            Shown::Text(text) if text.is_empty() || text.contains([' ', '"', '=']) => {
                write!(line, " {name}=\"{}\"", text.replace('"', "\\\""))?;
            }
            Shown::Plain(shown) | Shown::Text(shown) => write!(line, " {name}={shown}")?,
        }
    }
    line.push('\n');
    Ok(())
}
