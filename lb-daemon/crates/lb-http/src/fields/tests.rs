//! Looking for fields, and edits of them.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn fields(lines: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in lines {
        fields.append(*name, value.as_bytes()).unwrap();
    }
    fields
}

fn text(fields: &Fields) -> String {
    let mut out = Vec::new();
    fields.write(KnownFields::default(), &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn fields_are_found_by_name_in_any_case() {
    let fields = fields(&[("hOST", "a"), ("x-a", "1"), ("Accept", "b"), ("X-A", "2"), ("accept", "c, d,")]);
    assert_eq!(fields.get(KnownField::Host), Some(&b"a"[..]));
    assert_eq!(fields.get("HOST"), Some(&b"a"[..]));
    assert_eq!(fields.get_all("X-a").collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!(fields.elements(KnownField::Accept).collect::<Vec<_>>(), [b"b", b"c", b"d"]);
    assert!(fields.contains("x-A") && !fields.contains("x-b") && !fields.contains(KnownField::Cookie));
    let names: Vec<_> = fields.iter().map(|field| (field.known, field.name)).collect();
    assert_eq!(names[0], (Some(KnownField::Host), &b"hOST"[..]));
    assert_eq!(names[1], (None, &b"x-a"[..]));
}

#[test]
fn edits_keep_the_order_and_the_case_of_all_others() {
    let mut fields = fields(&[("a", "1"), ("VIA", "x"), ("B", "2"), ("via", "y"), ("b", "3"), ("C", "4")]);
    fields.set(KnownField::Via, b"z").unwrap();
    assert_eq!(text(&fields), "a: 1\r\nVia: z\r\nB: 2\r\nb: 3\r\nC: 4\r\n");
    fields.set("b", b"").unwrap();
    assert_eq!(text(&fields), "a: 1\r\nVia: z\r\nb: \r\nC: 4\r\n");
    fields.remove("A");
    fields.remove(KnownField::Via);
    fields.remove("not there");
    assert!(!fields.contains(KnownField::Via));
    fields.append("hoST", b"h").unwrap();
    fields.set("d", b"5").unwrap();
    assert_eq!(text(&fields), "b: \r\nC: 4\r\nhoST: h\r\nd: 5\r\n");
    fields.retain(|field| field.known.is_none());
    assert_eq!(text(&fields), "b: \r\nC: 4\r\nd: 5\r\n");
    assert!(!fields.contains(KnownField::Host));
    assert_eq!(fields.len(), 3);
    fields.clear();
    assert!(fields.is_empty());
    assert_eq!(text(&fields), "");
}

/// Nobody can add a second field, or end the head, through a name or a value.
#[test]
fn an_edit_cannot_add_lines() {
    let mut fields = fields(&[("a", "1")]);
    for name in ["", "a b", "a:", "a\r\nb", "a\u{e9}", " a"] {
        assert_eq!(fields.append(name, b"1"), Err(EditError::Name), "{name:?}");
        assert_eq!(fields.set(name, b"1"), Err(EditError::Name), "{name:?}");
    }
    for value in ["1\r\nb: 2", "1\n", "\r", "\0", " 1", "1\t", "\u{7f}"] {
        assert_eq!(fields.append("b", value.as_bytes()), Err(EditError::Value), "{value:?}");
        assert_eq!(fields.set("a", value.as_bytes()), Err(EditError::Value), "{value:?}");
    }
    assert_eq!(text(&fields), "a: 1\r\n");
}

#[test]
fn what_is_for_one_hop_only_is_removed() {
    let mut fields = fields(&[
        ("Host", "a"),
        ("Connection", "keep-alive, X-Private ,host,, content-length"),
        ("x-private", "1"),
        ("Keep-Alive", "timeout=5"),
        ("TE", "trailers"),
        ("x-public", "2"),
        ("X-Private", "3"),
        ("connection", "Cookie"),
        ("Cookie", "b=c"),
        ("Content-Length", "4"),
        ("Upgrade", "websocket"),
        ("Proxy-Connection", "keep-alive"),
        ("Transfer-Encoding", "chunked"),
    ]);
    fields.remove_hop_by_hop();
    assert_eq!(text(&fields), "Host: a\r\nx-public: 2\r\nContent-Length: 4\r\n");
    assert!(!fields.contains(KnownField::Cookie) && fields.contains(KnownField::Host));
    fields.remove_hop_by_hop();
    assert_eq!(fields.len(), 3);
}

/// An edit, of one of few names.
#[derive(Debug, Clone)]
enum Edit {
    Append(String, String),
    Set(String, String),
    Remove(String),
}

fn edit() -> impl Strategy<Value = Edit> {
    let name = || prop::sample::select(vec!["a", "A", "b", "host", "Host", "COOKIE"]).prop_map(str::to_owned);
    let value = || prop::string::string_regex("([a-z]([a-z ]{0,5}[a-z])?)?").unwrap();
    prop_oneof![
        (name(), value()).prop_map(|(name, value)| Edit::Append(name, value)),
        (name(), value()).prop_map(|(name, value)| Edit::Set(name, value)),
        name().prop_map(Edit::Remove),
    ]
}

/// What edits do, written down as simply as possible.
fn apply(model: &mut Vec<(String, String)>, edit: &Edit) {
    match edit.clone() {
        Edit::Append(name, value) => model.push((name, value)),
        Edit::Remove(name) => model.retain(|(other, _)| !other.eq_ignore_ascii_case(&name)),
        Edit::Set(name, value) => {
            let first = model.iter().position(|(other, _)| other.eq_ignore_ascii_case(&name));
            let place = first.unwrap_or(model.len());
            model.retain(|(other, _)| !other.eq_ignore_ascii_case(&name));
            model.insert(place.min(model.len()), (name, value));
        }
    }
}

proptest! {
    #[test]
    fn any_edits_do_what_the_model_does(edits in vec(edit(), 0..20)) {
        let mut fields = Fields::default();
        let mut model = Vec::new();
        for edit in &edits {
            apply(&mut model, edit);
            match edit {
                Edit::Append(name, value) => fields.append(name.as_str(), value.as_bytes()).unwrap(),
                Edit::Set(name, value) => fields.set(name.as_str(), value.as_bytes()).unwrap(),
                Edit::Remove(name) => fields.remove(name.as_str()),
            }
            let lines: String = model.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            prop_assert_eq!(text(&fields), lines);
            for known in [KnownField::Host, KnownField::Cookie] {
                let is_there = model.iter().any(|(name, _)| name.eq_ignore_ascii_case(known.name()));
                prop_assert_eq!(fields.contains(known), is_there);
            }
        }
    }
}
