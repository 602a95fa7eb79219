//! One value, from the file or from a variable: read, and compared in type with the value that the schema shows.

use toml::{
    Value,
    de::{DeArray, DeValue},
};

use crate::config::schema::type_name;

/// A value as the file says it; `None` for a number beyond 64 bits.
pub(super) fn from_file(written: &DeValue<'_>) -> Option<Value> {
    Some(match written {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => {
            Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok()?)
        }
        DeValue::Float(number) => Value::Float(number.as_str().parse().ok()?),
        DeValue::Boolean(flag) => Value::Boolean(*flag),
        DeValue::Datetime(date) => Value::Datetime(*date),
        DeValue::Array(list) => Value::Array(list_from_file(list)?),
        DeValue::Table(table) => Value::Table(
            table
                .iter()
                .map(|(name, value)| {
                    Some((name.get_ref().to_string(), from_file(value.get_ref())?))
                })
                .collect::<Option<_>>()?,
        ),
    })
}

fn list_from_file(list: &DeArray<'_>) -> Option<Vec<Value>> {
    list.iter().map(|item| from_file(item.get_ref())).collect()
}

/// A value as a variable says it: the schema's value decides how the text is read.
pub(super) fn from_environment(raw: &str, example: &Value) -> Result<Value, String> {
    match example {
        Value::String(_) => Ok(Value::String(raw.to_owned())),
        Value::Array(_) if raw.trim_start().starts_with('[') => parsed(raw)
            .filter(Value::is_array)
            .ok_or_else(|| "must be a list as in TOML, or words with commas".to_owned()),
        Value::Array(_) => Ok(Value::Array(
            raw.split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(Value::from)
                .collect(),
        )),
        _ => parsed(raw)
            .filter(|value| same_type(example, value))
            .ok_or_else(|| format!("must be {}", type_name(example))),
    }
}

fn parsed(raw: &str) -> Option<Value> {
    let (value, errors) = DeValue::parse_recoverable(raw.trim());
    if errors.is_empty() {
        from_file(value.get_ref())
    } else {
        None
    }
}

/// Whether a value may stand where the example stands. Every list of the schema is one of strings.
pub(super) fn same_type(example: &Value, value: &Value) -> bool {
    match value {
        Value::Array(items) => example.is_array() && items.iter().all(Value::is_str),
        other => example.same_type(other),
    }
}

/// What to say when it may not.
pub(super) fn wrong_type(example: &Value, value: &Value) -> String {
    let wanted = type_name(example);
    let found = match value {
        Value::Array(_) if example.is_array() => "a list with something else in it",
        Value::Array(_) => "a list",
        other => type_name(other),
    };
    match (example, value) {
        (Value::String(_), Value::Integer(_) | Value::Float(_) | Value::Boolean(_)) => {
            format!("must be {wanted}, not {found}: write it in quotes")
        }
        (Value::Array(_), Value::String(_)) => {
            format!("must be {wanted}, not {found}: write it in square brackets")
        }
        (Value::Integer(_) | Value::Boolean(_), Value::String(_)) => {
            format!("must be {wanted}, not {found}: leave the quotes out")
        }
        _ => format!("must be {wanted}, not {found}"),
    }
}

#[cfg(test)]
mod tests {
    use toml::Value;

    use super::from_environment;

    #[test]
    fn the_schema_decides_how_a_variable_is_read() {
        let list = Value::Array(Vec::new());
        let words = |words: &[&str]| Value::Array(words.iter().copied().map(Value::from).collect());
        for (raw, example, wanted) in [
            ("7", Value::from(1), Value::from(7)),
            (" 1_000 ", Value::from(1), Value::from(1000)),
            ("true", Value::from(false), Value::from(true)),
            ("true", Value::from("x"), Value::from("true")),
            ("127.0.0.1:1", Value::from("x"), Value::from("127.0.0.1:1")),
            ("", Value::from("x"), Value::from("")),
            ("", list.clone(), words(&[])),
            ("a, b", list.clone(), words(&["a", "b"])),
            (r#"["a,b", 'c']"#, list.clone(), words(&["a,b", "c"])),
        ] {
            assert_eq!(from_environment(raw, &example), Ok(wanted), "{raw:?}");
        }
        for (raw, example) in [
            ("seven", Value::from(1)),
            ("", Value::from(1)),
            ("1.5", Value::from(1)),
            ("yes", Value::from(true)),
            ("[1", list),
        ] {
            assert!(from_environment(raw, &example).is_err(), "{raw:?}");
        }
    }
}
