//! Any text is a configuration or has located errors, and what a configuration is written back as reads the same.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(bytes) else { return Corpus::Reject };
    match lb_config::parse("fuzz.toml", text, &env) {
        Ok(loaded) => {
            let written = lb_config::effective(&loaded.config);
            let read = lb_config::parse("effective.toml", &written, &|_| None);
            let read = read.unwrap_or_else(|errors| panic!("{errors}\n{written}"));
            assert_eq!(read.config, loaded.config, "\n{written}");
            loaded.warnings.iter().for_each(|warning| assert!(!warning.to_string().is_empty()));
        }
        Err(errors) => {
            assert!(!errors.diagnostics().is_empty());
            assert!(
                errors.diagnostics().iter().all(|error| error.line().is_some() && error.column().is_some())
            );
            assert!(errors.to_string().starts_with("fuzz.toml:"));
        }
    }
    Corpus::Keep
});

/// A few variables, some of them nasty.
fn env(name: &str) -> Option<String> {
    match name {
        "A" => Some("127.0.0.1:80".to_owned()),
        "E" => Some(String::new()),
        "D" => Some("${A}$\"\n[x]".to_owned()),
        _ => None,
    }
}
