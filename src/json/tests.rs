//! The same texts through serde_json and through this: they must agree on what is JSON and what it says.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

#[derive(Clone, Debug, Default, PartialEq)]
struct Inner {
    port: u16,
    text: Option<String>,
}
fields!(Inner { port, text });

#[derive(Clone, Debug, Default, PartialEq)]
struct Outer {
    name: String,
    count: u64,
    change: i64,
    on: bool,
    inner: Inner,
    list: Vec<Inner>,
    maybe: Option<u32>,
    rare: Vec<String>,
    odd: bool,
}
fields!(Outer { name, count, change, on, inner, list, maybe } omit_empty { rare, odd });

fn inner() -> impl Strategy<Value = Inner> {
    (any::<u16>(), any::<Option<String>>()).prop_map(|(port, text)| Inner { port, text })
}

fn outer() -> impl Strategy<Value = Outer> {
    let scalars = (any::<String>(), any::<u64>(), any::<i64>(), any::<bool>(), any::<Option<u32>>());
    let rest = (inner(), prop::collection::vec(inner(), 0..4), any::<Vec<String>>(), any::<bool>());
    (scalars, rest).prop_map(|((name, count, change, on, maybe), (inner, list, rare, odd))| Outer {
        name,
        count,
        change,
        on,
        inner,
        list,
        maybe,
        rare,
        odd,
    })
}

/// What serde_json makes of the same struct.
fn as_value(outer: &Outer) -> Value {
    let inner = |inner: &Inner| match &inner.text {
        Some(text) => json!({"port": inner.port, "text": text}),
        None => json!({"port": inner.port}),
    };
    let mut value = json!({
        "name": outer.name, "count": outer.count, "change": outer.change, "on": outer.on,
        "inner": inner(&outer.inner), "list": outer.list.iter().map(inner).collect::<Vec<_>>(),
    });
    if let Some(maybe) = outer.maybe {
        value["maybe"] = maybe.into();
    }
    if !outer.rare.is_empty() {
        value["rare"] = json!(outer.rare);
    }
    if outer.odd {
        value["odd"] = true.into();
    }
    value
}

/// JSON of any shape, as a stranger may send it.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// Text that is nearly JSON: where the two are likeliest to differ.
const NEARLY: &str =
    r#"([\[\]{},:" ]|"[a\\ntu0-9/]{0,7}"|-|[0-9]{1,3}|\.|e|\+|true|false|null|\\u[0-9a-fA-F]{4}|\t){0,12}"#;

fn is_json(text: &str) -> Result<(), Error> {
    let mut from = Reader::new(text);
    from.skip()?;
    from.end()
}

proptest! {
    #[test]
    fn what_is_written_says_the_same_to_serde_json_and_is_read_back(value in outer()) {
        let text = to_string(&value);
        prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), as_value(&value));
        prop_assert_eq!(from_str::<Outer>(&text).unwrap(), value);
    }

    #[test]
    fn what_serde_json_writes_is_read(value in outer()) {
        let pretty = serde_json::to_string_pretty(&as_value(&value)).unwrap();
        prop_assert_eq!(from_str::<Outer>(&pretty).unwrap(), value);
    }

    #[test]
    fn any_json_is_passed_over(value in value()) {
        prop_assert_eq!(is_json(&value.to_string()), Ok(()));
    }

    #[test]
    fn both_agree_on_what_is_json(text in NEARLY) {
        // Numbers above any f64 are JSON, and serde_json refuses them for want of a type.
        let judge = serde_json::from_str::<&serde_json::value::RawValue>(&text);
        prop_assert_eq!(is_json(&text).is_ok(), judge.is_ok(), "{}", text);
    }

    #[test]
    fn both_read_the_same_strings(text in r#""([a-z]|\\["\\/bfnrtu]|\\u[dD][89abcdefAF][0-9a-f]{2}|\\u00[0-9a-f]{2}|é|😀|\x01){0,6}""#) {
        let judge = serde_json::from_str::<String>(&text).ok();
        prop_assert_eq!(from_str::<String>(&text).ok(), judge, "{}", text);
    }
}

#[test]
fn errors_name_the_key_what_is_accepted_and_the_place() {
    for (text, error) in [
        (r#"{"inner":{"port":70000}}"#, "inner: port: expected a whole number from 0 to 65535 at byte 17"),
        (r#"{"inner":{"port":"7"}}"#, "inner: port: expected a whole number from 0 to 65535 at byte 17"),
        (r#"{"inner":{"port":-1}}"#, "inner: port: expected a whole number from 0 to 65535 at byte 17"),
        (r#"{"inner":{"port":1.0}}"#, "inner: port: expected a whole number from 0 to 65535 at byte 17"),
        (r#"{"change":9223372036854775808}"#, "change: expected a whole number at byte 10"),
        (r#"{"name":7}"#, "name: expected a string at byte 8"),
        (r#"{"on":1}"#, "on: expected true or false at byte 6"),
        (r#"{"list":{}}"#, "list: expected a list at byte 8"),
        (r#"{"list":[{},7]}"#, "list: expected an object at byte 12"),
        (r#"{"name":null}"#, "name: expected a string at byte 8"),
        ("[]", "expected an object at byte 0"),
        (r#"{"name":"a" "on":true}"#, "expected a comma or the end at byte 12"),
        (r#"{"name":"a"} x"#, "expected nothing more at byte 13"),
        (r#"{"name":"a"#, "name: expected the string's end at byte 10"),
        ("", "expected an object at byte 0"),
    ] {
        assert_eq!(from_str::<Outer>(text).unwrap_err().to_string(), error, "{text}");
    }
}

#[test]
fn unknown_keys_and_nulls_are_passed_over() {
    let read =
        from_str::<Outer>(r#" {"new":[{"x":[1.5e3,{}]}],"maybe":null,"inner":{"text":null,"port":7}} "#).unwrap();
    assert_eq!(read, Outer { inner: Inner { port: 7, text: None }, ..Outer::default() });
}

#[test]
fn nesting_has_an_end() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(is_json(&deep(60)).is_ok());
    assert!(is_json(&deep(65)).is_err());
    assert!(is_json(&"[".repeat(1_000_000)).is_err());
}
