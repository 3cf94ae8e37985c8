//! One flag for each setting of any method, made from the one list of settings.

use clap::{Arg, ArgMatches, Args, FromArgMatches, value_parser};
use pairtune::engine::sweep::Over;
use pairtune::train::{Setting, SettingKind, all_settings};
use serde_json::{Map, Value};

/// The settings that were given as flags, in the form of a config file. In a `SWEEP`, a setting that can be swept may
/// be a list.
#[derive(Debug, Clone, Default)]
pub(super) struct SettingsArgs<const SWEEP: bool = false>(Map<String, Value>);

impl SettingsArgs {
    /// These settings.
    pub(super) fn of(settings: Map<String, Value>) -> Self {
        Self(settings)
    }
}

impl<const SWEEP: bool> SettingsArgs<SWEEP> {
    /// The settings that were given.
    pub(super) fn to_map(&self) -> Map<String, Value> {
        self.0.clone()
    }

    /// A setting as its flag takes it.
    fn taken(setting: &Setting) -> Setting {
        match SWEEP && Over::ALL.iter().any(|over| over.key() == setting.key) {
            true => Setting { kind: SettingKind::Numbers, value: "VALUES", ..*setting },
            false => *setting,
        }
    }
}

impl<const SWEEP: bool> Args for SettingsArgs<SWEEP> {
    fn augment_args(command: clap::Command) -> clap::Command {
        let command = command.next_help_heading("Settings (as in TRL and PEFT)");
        all_settings().into_iter().fold(command, |command, setting| command.arg(flag(&Self::taken(setting))))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl<const SWEEP: bool> FromArgMatches for SettingsArgs<SWEEP> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut settings = Self::default();
        settings.update_from_arg_matches(matches)?;
        Ok(settings)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for setting in all_settings() {
            if let Some(value) = given(&Self::taken(setting), matches) {
                self.0.insert(setting.key.to_owned(), value);
            }
        }
        Ok(())
    }
}

fn flag(setting: &Setting) -> Arg {
    let arg = Arg::new(setting.key).long(setting.key.replace('_', "-")).value_name(setting.value).help(setting.help);
    match setting.kind {
        SettingKind::Number => arg.value_parser(value_parser!(f64)),
        SettingKind::Whole => arg.value_parser(value_parser!(u64)),
        SettingKind::Steps => arg.value_parser(value_parser!(i64)).allow_negative_numbers(true),
        SettingKind::Flag => arg.value_parser(value_parser!(bool)).num_args(0..=1).default_missing_value("true"),
        SettingKind::Word => arg.value_parser(value_parser!(String)),
        SettingKind::Words => arg.value_parser(value_parser!(String)).value_delimiter(','),
        SettingKind::Numbers => arg.value_parser(value_parser!(f64)).value_delimiter(',').allow_negative_numbers(true),
    }
}

/// The value of a flag; one word alone is no list.
fn given(setting: &Setting, matches: &ArgMatches) -> Option<Value> {
    let key = setting.key;
    match setting.kind {
        SettingKind::Number => matches.get_one::<f64>(key).map(|value| Value::from(*value)),
        SettingKind::Whole => matches.get_one::<u64>(key).map(|value| Value::from(*value)),
        SettingKind::Steps => matches.get_one::<i64>(key).map(|value| Value::from(*value)),
        SettingKind::Flag => matches.get_one::<bool>(key).map(|value| Value::from(*value)),
        SettingKind::Word => matches.get_one::<String>(key).map(|value| Value::from(value.as_str())),
        SettingKind::Words => {
            let words: Vec<&String> = matches.get_many::<String>(key)?.collect();
            Some(match words.as_slice() {
                [word] => Value::from(word.as_str()),
                words => words.iter().map(|word| Value::from(word.as_str())).collect(),
            })
        }
        SettingKind::Numbers => Some(matches.get_many::<f64>(key)?.map(|value| Value::from(*value)).collect()),
    }
}
