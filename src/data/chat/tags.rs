//! Tags of a chat template, rewritten before minijinja reads them, and limits that keep its recursion small.

use std::borrow::Cow;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};

/// Characters of one tag outside strings; the longest tags of real templates have some 500.
const MOST_IN_A_TAG: usize = 4096;
/// Branches of the template's `if` tags, which minijinja reads one within the other.
const MOST_ELIFS: usize = 1000;
/// Lists and maps within each other in a namespace.
const MOST_NESTED: usize = 128;

/// A template as minijinja reads it.
pub(super) struct Rewritten {
    pub(super) text: String,
    /// True if there is a `{% generation %}` tag.
    pub(super) is_marked: bool,
}

/// Rewrites a template's tags, on their own lines and as tags, so that whitespace around them is trimmed as before:
/// `{% generation %}` blocks, which mark what the assistant writes, become blocks of the filter `generation`, and what
/// `{% set a.b = … %}` puts into a namespace goes through the filter `in_namespace`.
///
/// An error if a tag is too long, or has too many branches, for a reader that recurses into each part.
pub(super) fn rewrite(source: &str) -> Result<Rewritten, Error> {
    let (mut text, mut is_marked) = (String::with_capacity(source.len()), false);
    let (mut rest, mut elifs) = (source, 0);
    while let Some(start) = rest.find('{').filter(|start| start + 1 < rest.len()) {
        let (before, tag) = rest.split_at(start);
        let close = match tag.as_bytes()[1] {
            b'%' => "%}",
            b'{' => "}}",
            b'#' => "#}",
            _ => {
                text.extend([before, "{"]);
                rest = &tag[1..];
                continue;
            }
        };
        let inside = &tag[2..];
        // A tag without an end is left to minijinja, which says so.
        let Some(end) = (if close == "#}" { inside.find(close) } else { end_of_tag(inside, close)? }) else { break };
        let (inside, after) = (&inside[..end], &inside[end + 2..]);
        let word = inside.trim_matches(['-', '+']).trim();
        elifs += usize::from(word.starts_with("elif"));
        if elifs > MOST_ELIFS {
            return Err(too_large(format!("it has more than {MOST_ELIFS} elif tags")));
        }
        let (inside, after): (Cow<'_, str>, &str) = match word {
            _ if close != "%}" => (inside.into(), after),
            "generation" => {
                is_marked = true;
                (inside.replace(word, "filter generation").into(), after)
            }
            "endgeneration" => (inside.replace(word, "endfilter").into(), after),
            "raw" => {
                let end = after.find("endraw").unwrap_or(after.len());
                text.extend([before, "{%", inside, "%}", &after[..end]]);
                rest = &after[end..];
                continue;
            }
            _ => (checked_set(inside), after),
        };
        text.extend([before, &tag[..2], &inside, close]);
        rest = after;
    }
    text.push_str(rest);
    Ok(Rewritten { text, is_marked })
}

/// Place of a tag's end, outside strings.
fn end_of_tag(inside: &str, close: &str) -> Result<Option<usize>, Error> {
    let mut outside = 0;
    for (at, c) in outside_strings(inside) {
        if inside[at..].starts_with(close) {
            return Ok(Some(at));
        }
        outside += c.len_utf8();
        if outside > MOST_IN_A_TAG {
            return Err(too_large(format!("a tag has more than {MOST_IN_A_TAG} characters")));
        }
    }
    Ok(None)
}

/// Characters outside strings, with their places.
fn outside_strings(text: &str) -> impl Iterator<Item = (usize, char)> {
    let (mut quote, mut escaped) = (None, false);
    text.char_indices().filter(move |(_, c)| match quote {
        Some(_) if escaped => {
            escaped = false;
            false
        }
        Some(open) => {
            escaped = *c == '\\';
            if *c == open {
                quote = None;
            }
            false
        }
        None => {
            quote = Some(*c).filter(|c| ['"', '\''].contains(c));
            quote.is_none()
        }
    })
}

/// The inside of a tag; if it sets an attribute of a namespace, the value goes through a filter.
fn checked_set(inside: &str) -> Cow<'_, str> {
    let is_set = inside.trim_start_matches(['-', '+']).trim_start().strip_prefix("set");
    if !is_set.is_some_and(|after| after.starts_with(char::is_whitespace)) {
        return inside.into();
    }
    let Some((equals, _)) = outside_strings(inside).find(|(_, c)| *c == '=') else { return inside.into() };
    let (target, value) = inside.split_at(equals + 1);
    if !target.contains('.') {
        return inside.into();
    }
    let trims = value.len() - value.trim_end_matches(['-', '+']).len();
    let (value, trim) = value.split_at(value.len() - trims);
    format!("{target} ({value})|in_namespace {trim}").into()
}

fn too_large(what: String) -> Error {
    Error::new(ErrorKind::SyntaxError, what)
}

/// Lets a value into a namespace; an error if it holds a namespace, which might hold itself, or nests without an end:
/// whatever writes or compares such a value recurses into it.
pub(super) fn in_namespace(state: &State<'_, '_>, value: Value) -> Result<Value, Error> {
    check(state, &value, 0)?;
    Ok(value)
}

fn check(state: &State<'_, '_>, value: &Value, depth: usize) -> Result<(), Error> {
    let refused = |what: String| Error::new(ErrorKind::InvalidOperation, what);
    if depth > MOST_NESTED {
        return Err(refused(format!("a namespace holds at most {MOST_NESTED} lists and maps within each other")));
    }
    let Some(object) = value.as_object() else { return Ok(()) };
    if object.type_name().ends_with("::Namespace") {
        return Err(refused("a namespace cannot be put into a namespace".to_owned()));
    }
    state.consume_fuel(1)?;
    match value.kind() {
        ValueKind::Seq => value.try_iter()?.try_for_each(|item| check(state, &item, depth + 1)),
        ValueKind::Map => value.try_iter()?.try_for_each(|key| check(state, &value.get_item(&key)?, depth + 1)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(source: &str) -> String {
        rewrite(source).map_or_else(|e| format!("{e}"), |rewritten| rewritten.text)
    }

    #[test]
    fn tags_are_rewritten_where_they_stand() {
        assert_eq!(text("a{%- generation -%}b{% endgeneration %}"), "a{%- filter generation -%}b{% endfilter %}");
        assert_eq!(text("{% set ns.a = 1, 2 -%}"), "{% set ns.a = ( 1, 2 )|in_namespace -%}");
        for same in [
            "{% set a = ns.b %}",
            "{% set ns.a %}x{% endset %}",
            "{% raw %}{% set ns.a = 1 %}{% generation %}{% endraw %}",
            "{# {% generation %} #}",
            "{{ '{% generation %}' }}",
            "{% if x == '%}{% generation %}' %}",
            "{ {{ {'a': {}}.b == 1 }} }{",
            "{% set ns.a = 'no end %}",
        ] {
            assert_eq!(text(same), same, "nothing is changed");
        }
        assert_eq!(text("{%set ns.a = \"=%}\"%}"), "{%set ns.a = ( \"=%}\")|in_namespace %}");
    }

    #[test]
    fn what_minijinja_would_recurse_into_is_refused() {
        let long = format!("{{{{ 1{} }}}}", "~1".repeat(3000));
        assert!(text(&long).contains("more than 4096 characters"), "{}", text(&long));
        let branches = format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(2000));
        assert!(text(&branches).contains("more than 1000 elif"), "{}", text(&branches));
        let string = format!("{{{{ '{}' }}}}", "a".repeat(10_000));
        assert_eq!(text(&string), string, "strings may be long");
    }
}
