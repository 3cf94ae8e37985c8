//! `Choices`: the variant of each operation that a device uses, and the record of it.

use std::collections::BTreeMap;

use super::Dtype;
use super::kernel::{Adapters, Format, Kernel, Needs, Op, Precision, Variant, joined};

/// An operation as it is called: with the form of its text and the class of its shape, which decide the variant.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    pub(super) op: &'static Op,
    pub(super) format: Option<&'static Format>,
    pub(super) class: &'static str,
}

impl Op {
    /// The operation with a weight of this type.
    pub fn with_weight(&'static self, dtype: Dtype) -> Call {
        Call { op: self, format: Some(self.format(dtype)), class: "" }
    }

    /// The operation in the form of this name; a missing form is the caller's fault.
    pub fn with_format(&'static self, name: &str) -> Call {
        let format = self.formats.iter().find(|format| format.name == name);
        let format = format.unwrap_or_else(|| unreachable!("{} has no form {name}", self.name));
        Call { op: self, format: Some(format), class: "" }
    }

    /// The operation on shapes of this class.
    pub fn class(&'static self, class: &'static str) -> Call {
        Call::from(self).class(class)
    }
}

impl From<&'static Op> for Call {
    fn from(op: &'static Op) -> Self {
        Self { op, format: op.formats.iter().find(|format| format.name.is_empty()), class: "" }
    }
}

impl Call {
    /// The operation.
    pub fn op(&self) -> &'static Op {
        self.op
    }

    /// The class of its shapes; empty if it has none.
    pub fn class_name(&self) -> &'static str {
        self.class
    }

    /// The same call for shapes of this class, which have their own choice of variant.
    pub fn class(self, class: &'static str) -> Self {
        Self { class, ..self }
    }

    fn key(&self) -> String {
        let (op, format, class) = at(self);
        joined([op, format, class])
    }
}

/// The variant of each operation, format and class of shape: `<operation>[.<format>][.<class>]` to the variant's name.
///
/// Runs with the same set compute the same bits; another set may add in another order.
pub type VariantSet = BTreeMap<String, String>;

/// Choices made on a device.
#[derive(Debug, Default)]
pub(super) struct Choices {
    /// True if the CPU does the adapter's work.
    software: bool,
    /// Lowest precision that variants may have.
    precision: Precision,
    /// Chosen variants by precision, so that the choices for one precision stay while another is in use.
    chosen: BTreeMap<(Precision, At), (Call, &'static Variant)>,
    forced: BTreeMap<&'static str, &'static Variant>,
}

impl Choices {
    /// No choices yet, for a kind of adapter.
    pub(super) fn new(software: bool) -> Self {
        Self { software, ..Self::default() }
    }

    pub(super) fn kernel(&self, call: Call) -> Kernel {
        let forced = self.forced.get(call.op.name).copied();
        let variant = forced.or_else(|| self.chosen(&call)).unwrap_or_else(|| self.usual(call.op));
        Kernel { op: call.op, variant, format: call.format }
    }

    pub(super) fn chosen(&self, call: &Call) -> Option<&'static Variant> {
        self.chosen.get(&(self.precision, at(call))).map(|(_, variant)| *variant)
    }

    /// The first variant that was made for this kind of adapter and needs nothing.
    fn usual(&self, op: &'static Op) -> &'static Variant {
        let suits = |variant: &&Variant| variant.needs == Needs::NOTHING && variant.made_for.include(self.software);
        // Each kind of adapter has one: `tests/shaders.rs` checks it.
        op.variants.iter().find(suits).unwrap_or(&op.variants[0])
    }

    /// True if the variant was made for this kind of adapter, and rounds no more than allowed.
    pub(super) fn may_try(&self, variant: &Variant) -> bool {
        variant.made_for.include(self.software) && variant.precision >= self.precision
    }

    /// See `Gpu::allow`.
    pub(super) fn allow(&mut self, precision: Precision) {
        self.precision = precision;
    }

    /// Lowest precision that variants may have.
    pub(super) fn precision(&self) -> Precision {
        self.precision
    }

    pub(super) fn choose(&mut self, call: Call, variant: &'static Variant) {
        self.chosen.insert((self.precision, at(&call)), (call, variant));
    }

    pub(super) fn force(&mut self, op: &'static Op, variant: Option<&'static Variant>) {
        match variant {
            Some(variant) => self.forced.insert(op.name, variant),
            None => self.forced.remove(op.name),
        };
    }

    pub(super) fn set(&self) -> VariantSet {
        let now = self.chosen.iter().filter(|((precision, _), _)| *precision == self.precision);
        now.map(|(_, (call, _))| (call.key(), self.kernel(*call).variant.name.to_owned())).collect()
    }
}

/// Names of operation, format and class.
type At = (&'static str, &'static str, &'static str);

fn at(call: &Call) -> At {
    (call.op.name, call.format.map_or("", |format| format.name), call.class)
}

impl Adapters {
    pub(super) fn include(self, software: bool) -> bool {
        match self {
            Self::All => true,
            Self::Software => software,
            Self::Hardware => !software,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alone(shape: [u32; 3]) -> [u32; 3] {
        shape
    }

    #[test]
    fn what_rounds_is_tried_only_where_it_was_asked_for() {
        let exact = Variant { made_for: Adapters::Hardware, ..Variant::only(&[], alone) };
        let rounds = Variant { precision: Precision::F16, made_for: Adapters::Hardware, ..Variant::only(&[], alone) };
        let mut choices = Choices::new(false);
        assert!(choices.may_try(&exact) && !choices.may_try(&rounds), "f32 is the default");
        choices.allow(Precision::F16);
        assert!(choices.may_try(&exact) && choices.may_try(&rounds), "the faster of both may be taken");
        let mut software = Choices::new(true);
        software.allow(Precision::F16);
        assert!(!software.may_try(&rounds), "it was made for graphics processors");
    }

    #[test]
    fn what_was_chosen_for_a_precision_waits_for_its_return() {
        static PLAIN: Variant = Variant { name: "plain", ..Variant::only(&[], alone) };
        static FAST: Variant = Variant { name: "fast", ..Variant::only(&[], alone) };
        static OP: Op = Op { name: "op", params_bytes: 0, binds: &[], formats: &[], variants: &[] };
        let mut choices = Choices::new(false);
        choices.choose(Call::from(&OP), &PLAIN);
        choices.allow(Precision::F16);
        assert!(choices.chosen(&Call::from(&OP)).is_none() && choices.set().is_empty(), "each has its own");
        choices.choose(Call::from(&OP), &FAST);
        assert_eq!(choices.set()["op"], "fast");
        choices.allow(Precision::F32);
        assert_eq!(choices.set()["op"], "plain", "as it was");
    }
}
