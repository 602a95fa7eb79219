//! Row O5: what is printed is the configuration, and nothing secret is in it.

use std::collections::BTreeMap;

use wardroom::config::{Config, keys};

use crate::Site;

#[test]
fn the_printed_configuration_is_the_configuration() {
    let site = Site::new();
    let text = site.good()
        + "[limits]\nrooms_max = 7\n[[rooms]]\nname = \"a\"\n[[rooms]]\nname = \"b:*\"\n";
    let loaded = site
        .load_with(&text, &[("WARDROOM__PAGE__TITLE", "The # \"ward\" = room")])
        .expect("good");
    let printed = loaded.config.to_toml(&loaded.sources);
    let again = site.load(&printed).expect("what is printed can be used");
    assert_eq!(
        format!("{:?}", again.config),
        format!("{:?}", loaded.config)
    );
    for (key, _) in keys() {
        let name = key.rsplit('.').next().expect("a name");
        assert!(
            printed
                .lines()
                .any(|line| line.starts_with(&format!("{name} = "))),
            "{key} is not printed"
        );
    }
    assert!(printed.contains("rooms_max = 7  # line "), "{printed}");
    assert!(
        printed.contains("# environment WARDROOM__PAGE__TITLE"),
        "{printed}"
    );
}

#[test]
fn no_secret_is_printed() {
    let site = Site::new();
    let secret = "Zq".repeat(20);
    let file = site.write("secret", &secret, 0o600);
    let text = format!(
        "{}[[auth.issuers]]\nissuer = \"i\"\naudience = [\"w\"]\nalgorithms = [\"HS256\"]\nsecret_file = {file:?}\n",
        site.head()
    );
    let loaded = site.load(&text).expect("good");
    let printed = loaded.config.to_toml(&loaded.sources);
    assert!(printed.contains(file.to_str().expect("a path")));
    for shown in [printed, format!("{loaded:?}")] {
        assert!(!shown.contains(&secret), "{shown}");
    }
    let mut config = Config::defaults();
    config.redis.urls = vec!["rediss://user:hunter2@redis.internal:6379".to_owned()];
    let printed = config.to_toml(&BTreeMap::new());
    assert!(
        printed.contains("rediss://***@redis.internal:6379"),
        "{printed}"
    );
    assert!(!printed.contains("hunter2"));
}
