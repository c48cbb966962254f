//! The keywords for what derivatives and masks add: `tangent`, `cotangent`, `final`, `mask`.

use super::ast::{LeafKind, Name, RoleWord};
use super::diagnostic::Diagnostic;
use super::resolve::Resolver;
use crate::recurrence::Roles;
use crate::tape::{Derived, Tape};

impl Resolver<'_, '_> {
    /// Records the role of a parameter, an input or an output.
    pub(super) fn mark(&self, word: Option<RoleWord>, name: &Name, is_output: bool) {
        match word.and_then(|word| self.role(word, name, is_output)) {
            Some(role) if is_output => self.r.set_output_role(&name.text, role),
            Some(role) => self.r.set_leaf_role(&name.text, role),
            None => {}
        }
    }

    /// The role that a keyword gives to a declaration. `w.dot` is the tangent of `w`, from the name before the
    /// last dot; a cotangent output has the name of the value itself.
    fn role(&self, word: RoleWord, name: &Name, is_output: bool) -> Option<Derived> {
        let whole = is_output && word == RoleWord::Cotangent;
        let of = match name.text.rsplit_once('.') {
            _ if whole => &*name.text,
            Some((of, _)) => of,
            None => {
                let (what, example) = match word {
                    RoleWord::Tangent => ("tangent", "w.dot"),
                    RoleWord::Cotangent => ("cotangent", "y.bar"),
                    RoleWord::Final => ("final value", "h.final"),
                };
                let text = format!("`{}` does not say whose {what} it is", name.text);
                let help = format!("its name has another part, such as `{example}`");
                self.reports
                    .push(Diagnostic::at(name.span, text).help(help));
                return None;
            }
        };
        Some(match word {
            RoleWord::Tangent => Derived::Tangent(of.into()),
            RoleWord::Cotangent => Derived::Cotangent(of.into()),
            RoleWord::Final => Derived::Final(of.into()),
        })
    }
}

/// The keywords of a parameter or input declaration.
pub(super) const fn leaf_words(role: Option<&Derived>, plain: LeafKind) -> &'static str {
    match (role, plain) {
        (Some(Derived::Tangent(_)), LeafKind::Param) => "tangent param",
        (Some(Derived::Tangent(_)), LeafKind::Input) => "tangent input",
        (Some(Derived::Tangent(_)), LeafKind::SampleInput) => "tangent sample input",
        (Some(Derived::Cotangent(_)), LeafKind::Param) => "cotangent param",
        (Some(Derived::Cotangent(_)), LeafKind::Input) => "cotangent input",
        (Some(Derived::Cotangent(_)), LeafKind::SampleInput) => "cotangent sample input",
        (_, LeafKind::Mask) => "mask input",
        (_, LeafKind::AppliedMask) => "applied mask input",
        (_, LeafKind::Param) => "param",
        (_, LeafKind::Input) => "input",
        (_, LeafKind::SampleInput) => "sample input",
    }
}

/// The keywords of an output declaration.
pub(super) const fn output_words(role: Option<&Derived>) -> &'static str {
    match role {
        Some(Derived::Tangent(_)) => "tangent output",
        Some(Derived::Cotangent(_)) => "cotangent output",
        Some(Derived::Final(_)) => "final output",
        None => "output",
    }
}

/// Refuses a role that cannot be recovered from the keyword and the name.
pub(super) fn check_roles(tape: &Tape, roles: &Roles) -> Result<(), String> {
    let leaves = tape.leaves().iter();
    let leaves = leaves.filter_map(|l| Some((l.name(), false, l.derived()?)));
    let outputs = roles.iter().map(|(name, role)| (&**name, true, role));
    for (name, is_output, role) in leaves.chain(outputs) {
        let of = match role {
            Derived::Cotangent(_) if is_output => Some(name),
            _ => name.rsplit_once('.').map(|(of, _)| of),
        };
        if of != Some(role.of()) {
            return Err(format!(
                "the name `{name}` does not say that it belongs to `{}`",
                role.of()
            ));
        }
    }
    Ok(())
}
