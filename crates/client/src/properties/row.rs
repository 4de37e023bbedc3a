//! One row per key: what the code does with it and what the documentation says of it.

use std::ops::RangeInclusive;

use crate::security::Secret;

/// Largest value of Java's `int`.
pub(super) const INT_MAX: u64 = 2_147_483_647;
/// Largest value of Java's `long`.
pub(super) const LONG_MAX: u64 = 9_223_372_036_854_775_807;

/// What is wrong with a value, as text for [`Error::InvalidOption`](crate::Error::InvalidOption).
pub(super) type Checked<T = ()> = Result<T, String>;

/// A key of Java's clients and what it does to the options `D`.
pub(super) struct Row<D> {
    pub(super) key: &'static str,
    pub(super) effect: Effect<D>,
    /// What the key sets; for the other effects, why it does not.
    pub(super) note: &'static str,
}

/// What becomes of a key.
pub(super) enum Effect<D> {
    /// It sets something.
    Sets(fn(&mut D, Value<'_>) -> Checked),
    /// There is nothing to set, and going without is safe.
    Nothing,
    /// Going without would not be what the user asked for.
    Refused,
}

/// A row as far as it does not depend on the options it sets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Described {
    pub(super) key: &'static str,
    pub(super) sets: bool,
    pub(super) refused: bool,
    pub(super) note: &'static str,
}

impl<D> Row<D> {
    pub(super) const fn sets(
        key: &'static str,
        note: &'static str,
        setter: fn(&mut D, Value<'_>) -> Checked,
    ) -> Row<D> {
        Row { key, effect: Effect::Sets(setter), note }
    }

    pub(super) const fn nothing(key: &'static str, note: &'static str) -> Row<D> {
        Row { key, effect: Effect::Nothing, note }
    }

    pub(super) const fn refused(key: &'static str, note: &'static str) -> Row<D> {
        Row { key, effect: Effect::Refused, note }
    }

    pub(super) fn describe(&self) -> Described {
        Described {
            key: self.key,
            sets: matches!(self.effect, Effect::Sets(_)),
            refused: matches!(self.effect, Effect::Refused),
            note: self.note,
        }
    }
}

/// A value without the white space around it, as Java's clients take it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a>(pub(super) &'a str);

impl<'a> Value<'a> {
    /// The text; `None` if it is empty.
    pub(super) fn text(self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.to_owned())
    }

    /// The text, not to be shown; `None` if it is empty.
    pub(super) fn secret(self) -> Option<Secret> {
        (!self.0.is_empty()).then(|| Secret::from(self.0))
    }

    /// A class of Java's that this crate knows how to do without; its package does not matter.
    pub(super) fn handler(self, known: &[&str]) -> Checked {
        match self.0.is_empty() || known.contains(&simple_name(self.0)) {
            true => Ok(()),
            false => self.wrong(&format!("is a class of Java's: only {} can be done without it", known.join(", "))),
        }
    }

    /// What is wrong with the value, the value first.
    pub(super) fn wrong<T>(self, reason: &str) -> Checked<T> {
        Err(format!("{:?} {reason}", self.0))
    }

    /// A whole number in `range` into `target`.
    pub(super) fn number<T: TryFrom<u64>>(self, target: &mut T, range: RangeInclusive<u64>) -> Checked {
        let number = self.0.parse().ok().filter(|number| range.contains(number));
        match number.and_then(|number| T::try_from(number).ok()) {
            Some(number) => *target = number,
            None => {
                return self.wrong(&format!("must be a whole number from {} to {}", range.start(), range.end()));
            }
        }
        Ok(())
    }

    /// Milliseconds, 0 included.
    pub(super) fn millis<T: TryFrom<u64>>(self, target: &mut T) -> Checked {
        self.number(target, 0..=INT_MAX)
    }

    /// Milliseconds above 0.
    pub(super) fn some_millis<T: TryFrom<u64>>(self, target: &mut T) -> Checked {
        self.number(target, 1..=INT_MAX)
    }

    /// `true` or `false`.
    pub(super) fn flag(self) -> Checked<bool> {
        self.choice(&[("true", true), ("false", false)])
    }

    /// One of these names, in any case.
    pub(super) fn choice<T: Clone>(self, choices: &[(&str, T)]) -> Checked<T> {
        match choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(self.0)) {
            Some((_, choice)) => Ok(choice.clone()),
            None => {
                let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
                self.wrong(&format!("must be one of: {}", names.join(", ")))
            }
        }
    }

    /// A list separated by commas.
    pub(super) fn list(self) -> impl Iterator<Item = &'a str> {
        self.0.split(',').map(str::trim).filter(|item| !item.is_empty())
    }
}

/// The name of a class without its package.
pub(super) fn simple_name(class: &str) -> &str {
    class.rsplit('.').next().unwrap_or(class)
}
