//! The keys by which two names are too alike. A name that passed its pipeline comes in; next the keys are compared with those
//! of the room's other names, and with those of the reserved ones.

use unicode_normalization::UnicodeNormalization;
use unicode_security::skeleton;

/// Three keys: two names look alike if any key of the one equals any key of the other.
pub(super) type Keys = [Box<str>; 3];

/// What a reserved name is compared without, as `a.d.m.i.n` reads like `admin`.
pub(super) fn is_separator(c: char) -> bool {
    matches!(c, ' ' | '-' | '_' | '.' | '\'')
}

/// The keys of a name: folded; the skeleton (UTS 39 §4) folded; and the skeleton of the folded form, folded. Two skeletons,
/// because `I` looks like `l` and its lower case does not.
pub(super) fn keys(name: &str) -> Keys {
    let folded = fold(name);
    let seen: String = skeleton(&name.nfkc().collect::<String>()).collect();
    let folded_seen: String = skeleton(&folded).collect();
    let (second, third) = (fold(&seen), fold(&folded_seen));
    [folded.into(), second.into(), third.into()]
}

/// The keys of a name without its separators, also without those that only look like one: the skeleton of a modifier letter
/// may be an apostrophe.
pub(super) fn bare_keys(name: &str) -> Keys {
    keys(&bare(name)).map(|key| bare(&key).into())
}

fn bare(name: &str) -> String {
    name.chars().filter(|c| !is_separator(*c)).collect()
}

/// Whether bare keys belong to the form of generated names, `guest-xxxx`: nobody may choose to look like a guest.
pub(super) fn is_generated_form(bare_keys: &Keys) -> bool {
    let nine = |key: &str| key.chars().count() == 9;
    bare_keys.iter().any(|key| key.starts_with("guest")) && bare_keys.iter().any(|key| nine(key))
}

/// Upper case first, so that `ß` meets `SS` and `ς` meets `σ`; by character, so that the end of a word changes nothing.
fn fold(name: &str) -> String {
    name.nfkc()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .nfkc()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{bare_keys, is_generated_form, keys};

    fn meet(one: &str, other: &str) -> bool {
        let (one, other) = (keys(one), keys(other));
        one.iter().any(|key| other.contains(key))
    }

    #[test]
    fn n4_to_n6_and_n11_names_that_look_alike_meet() {
        for (one, other) in [
            ("paypaI", "paypal"),
            ("paypa1", "paypal"),
            ("раураl", "paypal"),
            ("раураӏ", "paypal"),
            ("PAYPAL", "paypal"),
            ("b0b", "bob"),
            ("B0B", "BOB"),
            ("modem", "modern"),
            ("ADMIN", "admin"),
            ("ⓐⓓⓜⓘⓝ", "admin"),
            ("straße", "STRASSE"),
            ("e\u{301}", "é"),
            ("ﬁ", "fi"),
            ("ſ", "s"),
            ("\u{212A}", "k"),
            ("ς", "σ"),
            ("Σ", "ς"),
            ("Ian", "lan"),
        ] {
            assert!(meet(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("Alice", "Alicia"),
            ("Иван", "Ivan"),
            ("anna", "ana"),
            ("太郎", "次郎"),
        ] {
            assert!(!meet(one, other), "{one} {other}");
        }
    }

    #[test]
    fn separators_and_what_looks_like_one_do_not_count_for_reserved_names() {
        let plain = bare_keys("admin");
        for worn in [
            "a d m i n",
            "a.d.m.i.n",
            "-admin_",
            "ad'min",
            "adˈmin",
            "Ad-Min",
        ] {
            assert!(
                bare_keys(worn).iter().any(|key| plain.contains(key)),
                "{worn}"
            );
        }
        assert!(
            !bare_keys("administer")
                .iter()
                .any(|key| plain.contains(key))
        );
    }

    #[test]
    fn the_generated_form_is_guest_and_four_more() {
        for guest in [
            "guest-ab2c",
            "Guest ab2c",
            "GUEST_AB2C",
            "guestab2c",
            "ɡuest-ab2c",
            "guest-mmmm",
        ] {
            assert!(is_generated_form(&bare_keys(guest)), "{guest}");
        }
        for other in [
            "guest",
            "guest-abc",
            "guest-of-honour",
            "host-ab2c",
            "bestguest",
        ] {
            assert!(!is_generated_form(&bare_keys(other)), "{other}");
        }
    }
}
