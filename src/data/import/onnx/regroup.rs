//! Reshape: the axes of an array and the sizes of another shape in groups that have the same entries.

use super::facts::Out;
use super::machine::Machine;
use super::value::{Axis, Body, Dim, Expr, Label, Size, Tensor};

/// Consecutive axes of the array, and the sizes that they become.
struct Group {
    from: Vec<usize>,
    to: Vec<Dim>,
}

/// The tensor in another shape. Steps and samples stay as they are, become one axis, or are split again.
pub(super) fn regrouped(m: &mut Machine<'_>, tensor: &Tensor, shape: &[Dim]) -> Out<Tensor> {
    if shape.iter().filter(|d| **d == Dim::Known(-1)).count() > 1 {
        return Err(m.refuse("the shape has two sizes of -1"));
    }
    let groups = groups(m, tensor, shape)?;
    let mut axes = Vec::new();
    // The sizes of the features before and after, if they change.
    let mut is_changed = false;
    for group in &groups {
        let from: Vec<&Axis> = group.from.iter().map(|a| &tensor.axes[*a]).collect();
        let kept: Vec<&Axis> = from
            .iter()
            .copied()
            .filter(|a| a.label != Label::One)
            .collect();
        match (&kept[..], &group.to[..]) {
            ([], to) => axes.extend(to.iter().map(|_| Axis::one())),
            ([one], to)
                if to.iter().filter(|d| **d != Dim::Known(1)).count() == 1
                    && one.size.number != Some(1) =>
            {
                axes.extend(to.iter().map(|d| {
                    if *d == Dim::Known(1) {
                        Axis::one()
                    } else {
                        (*one).clone()
                    }
                }));
            }
            ([one], [_]) => axes.push((*one).clone()),
            ([one], [_, _]) if matches!(one.label, Label::Joined(_)) => {
                let (time, batch) = (
                    Axis::outer(Label::Time, None),
                    Axis::outer(Label::Batch, None),
                );
                axes.extend(match one.label {
                    Label::Joined(true) => [time, batch],
                    _ => [batch, time],
                });
            }
            ([one, other], [_]) if is_outer(one) && is_outer(other) => {
                axes.push(Axis::outer(Label::Joined(one.label == Label::Time), None));
            }
            (features, to) if features.iter().all(|a| a.is_feature()) => {
                is_changed = true;
                let count: Option<usize> = features
                    .iter()
                    .try_fold(1usize, |n, a| n.checked_mul(a.size.number?));
                let count = count.ok_or_else(|| m.refuse("a size is not known"))?;
                let sizes = split(m, to, count)?;
                let texts: Vec<&str> = features.iter().map(|a| a.size.text.as_str()).collect();
                let text = product(&texts, m.facts.is_numeric);
                for n in sizes {
                    let size = match (to.len(), &text) {
                        (1, Some(text)) => Size {
                            number: Some(count),
                            text: text.clone(),
                        },
                        _ => m.page.size(m.facts, "N", n),
                    };
                    axes.push(Axis::feature(size));
                }
            }
            _ => {
                let open = from.iter().find_map(|a| match a.label {
                    Label::Open(origin) => Some(origin),
                    _ => None,
                });
                return Err(match open {
                    Some(origin) => m.guess(origin),
                    None => m.refuse(format!(
                        "the shape takes axes of its array {} apart or together; steps and samples must stay axes",
                        tensor.described()
                    )),
                });
            }
        }
    }
    if axes.len() != shape.len() {
        return Err(m.refuse(format!(
            "the axes {} do not fit the new shape",
            tensor.described()
        )));
    }
    let result = Tensor {
        axes,
        ..tensor.clone()
    };
    let shape = m.shape(&result)?;
    if !is_changed || matches!(tensor.body, Body::Filled(_) | Body::Integers(_)) {
        return Ok(result);
    }
    if let (Body::Rows(rows), [_]) = (&tensor.body, &shape[..])
        && tensor.features().len() == 2
    {
        let texts: Vec<&str> = rows.iter().map(|r| r.text.as_str()).collect();
        return Ok(result.with_body(Body::Expr(Expr::call("concat", &texts))));
    }
    let expr = m.flat(tensor)?;
    let sizes: Vec<&str> = shape.iter().map(|s| s.text.as_str()).collect();
    let expr = match sizes.is_empty() {
        true => Expr::atom(format!("sum({})", expr.text)),
        false => Expr::atom(format!("reshape({}, [{}])", expr.text, sizes.join(", "))),
    };
    Ok(result.with_body(Body::Expr(expr)))
}

fn is_outer(axis: &Axis) -> bool {
    matches!(axis.label, Label::Time | Label::Batch)
}

/// `2*H` of `2` and `H`, if the language has the product.
fn product(texts: &[&str], is_numeric: bool) -> Option<String> {
    let is_number = |t: &str| t.chars().all(|c| c.is_ascii_digit());
    let is_name = |t: &str| t.chars().all(|c| c.is_alphanumeric() || c == '_');
    match texts {
        _ if is_numeric => None,
        [one, other] if is_number(one) && is_name(other) && !is_number(other) => {
            Some(format!("{one}*{other}"))
        }
        [one, other] if is_number(other) && is_name(one) && !is_number(one) => {
            Some(format!("{other}*{one}"))
        }
        _ => None,
    }
}

/// The sizes of the features that `count` entries become.
fn split(m: &Machine<'_>, to: &[Dim], count: usize) -> Out<Vec<usize>> {
    let known = |d: &Dim| match d {
        Dim::Known(n) => usize::try_from(*n).ok(),
        _ => None,
    };
    let rest = to
        .iter()
        .filter_map(known)
        .try_fold(1usize, |a, n| a.checked_mul(n));
    let rest = rest
        .filter(|r| *r > 0)
        .ok_or_else(|| m.refuse("a size of the shape is 0"))?;
    let sizes: Vec<usize> = to
        .iter()
        .map(|d| known(d).unwrap_or(count / rest))
        .collect();
    match sizes.iter().product::<usize>() == count {
        true => Ok(sizes),
        false => Err(m.refuse(format!("{count} entries do not fit the sizes {sizes:?}"))),
    }
}

/// The axes and the sizes in groups: from both ends up to the size of -1, which takes the rest.
fn groups(m: &mut Machine<'_>, tensor: &Tensor, shape: &[Dim]) -> Out<Vec<Group>> {
    let open = shape.iter().position(|d| *d == Dim::Known(-1));
    let (mut begin, mut end) = (0, tensor.axes.len());
    let left = &shape[..open.unwrap_or(shape.len())];
    let mut groups = walk(m, tensor, (&mut begin, &mut end), left, false)?;
    let mut last = Vec::new();
    if let Some(open) = open {
        let mut right: Vec<Dim> = shape[open + 1..].to_vec();
        right.reverse();
        last = walk(m, tensor, (&mut begin, &mut end), &right, true)?;
        last.reverse();
        let from: Vec<usize> = (begin..end).collect();
        // One of two sizes of joined steps and samples may be open.
        let is_split = |g: &Group| matches!(g.from[..], [a] if matches!(tensor.axes[a].label, Label::Joined(_)));
        match (from.is_empty(), groups.last_mut()) {
            (true, Some(group)) if group.to.last() == Some(&Dim::Known(-1)) => {}
            (true, Some(group)) if is_split(group) && group.to.len() == 1 => {
                group.to.push(Dim::Known(-1));
            }
            (true, _) => groups.push(Group {
                from,
                to: vec![Dim::Known(1)],
            }),
            _ => groups.push(Group {
                from,
                to: vec![Dim::Known(-1)],
            }),
        }
    } else {
        for at in begin..end {
            match tensor.axes[at].label {
                Label::One => {}
                Label::Open(origin) if tensor.axes[at].size.number == Some(1) => {
                    return Err(m.facts.learn(origin, Label::One));
                }
                _ => {
                    return Err(m.refuse(format!(
                        "the axes {} do not fit the new shape {shape:?}",
                        tensor.described()
                    )));
                }
            }
        }
    }
    groups.extend(last);
    Ok(groups)
}

/// Groups of the sizes from one end of the axes.
fn walk(
    m: &mut Machine<'_>,
    tensor: &Tensor,
    (begin, end): (&mut usize, &mut usize),
    shape: &[Dim],
    is_reversed: bool,
) -> Out<Vec<Group>> {
    let mut groups: Vec<Group> = Vec::new();
    let mut at = 0;
    while at < shape.len() {
        let dim = shape[at];
        let next = match (*begin < *end, is_reversed) {
            (false, _) => None,
            (true, false) => Some(*begin),
            (true, true) => Some(*end - 1),
        };
        let mut take = || match is_reversed {
            false => *begin += 1,
            true => *end -= 1,
        };
        let axis = next.map(|n| &tensor.axes[n]);
        let from: Vec<usize> = next.into_iter().collect();
        match (axis, dim) {
            (Some(axis), Dim::Known(1))
                if axis.label == Label::One || axis.size.number == Some(1) =>
            {
                take();
                groups.push(Group {
                    from,
                    to: vec![dim],
                });
                at += 1;
            }
            (_, Dim::Known(1)) => {
                groups.push(Group {
                    from: vec![],
                    to: vec![dim],
                });
                at += 1;
            }
            (Some(axis), _) if axis.label == Label::One => {
                take();
                groups.push(Group { from, to: vec![] });
            }
            (Some(axis), _) if is_same(axis, dim) => {
                take();
                groups.push(Group {
                    from,
                    to: vec![dim],
                });
                at += 1;
            }
            (Some(axis), Dim::Open(other)) => {
                return Err(match axis.label {
                    Label::Open(own) => m.facts.learn_same(own, other),
                    label => m.facts.learn(other, label),
                });
            }
            (Some(axis), _) if matches!(axis.label, Label::Joined(_)) && shape.len() >= at + 2 => {
                take();
                let mut to = shape[at..at + 2].to_vec();
                if is_reversed {
                    to.reverse();
                }
                groups.push(Group { from, to });
                at += 2;
            }
            // The other size of joined steps and samples is open.
            (Some(axis), _) if matches!(axis.label, Label::Joined(_)) => {
                take();
                groups.push(Group {
                    from,
                    to: vec![dim],
                });
                at += 1;
            }
            (Some(_), Dim::Both) => {
                let second = if is_reversed {
                    end.checked_sub(2)
                } else {
                    Some(*begin + 1)
                };
                let second = second.filter(|s| (*begin..*end).contains(s));
                let second = second
                    .ok_or_else(|| m.refuse("steps and samples are not beside each other"))?;
                let mut from = from;
                from.push(second);
                from.sort_unstable();
                match is_reversed {
                    false => *begin += 2,
                    true => *end -= 2,
                }
                groups.push(Group {
                    from,
                    to: vec![dim],
                });
                at += 1;
            }
            (Some(axis), Dim::Known(n)) if axis.is_feature() => {
                let (group, used) =
                    features(m, tensor, (begin, end), &shape[at..], (n, is_reversed))?;
                groups.push(group);
                at += used;
            }
            (Some(axis), _) => {
                return Err(match axis.label {
                    Label::Open(origin) => m.guess(origin),
                    _ => m.refuse(format!(
                        "an axis of {} meets another size of the new shape {shape:?}",
                        axis.described()
                    )),
                });
            }
            (None, _) => {
                return Err(m.refuse(format!(
                    "the axes {} do not fit the new shape {shape:?}",
                    tensor.described()
                )));
            }
        }
    }
    Ok(groups)
}

fn is_same(axis: &Axis, dim: Dim) -> bool {
    match (axis.label, dim) {
        (Label::Time, Dim::Steps)
        | (Label::Batch, Dim::Samples)
        | (Label::Joined(_), Dim::Both) => true,
        (Label::Open(a), Dim::Open(b)) => a == b,
        (Label::Feature | Label::Time | Label::Batch | Label::Open(_), Dim::Known(n)) => {
            usize::try_from(n).ok() == axis.size.number && axis.size.number.is_some()
        }
        _ => false,
    }
}

/// Some axes of features and some sizes with the same number of entries; and how many sizes.
fn features(
    m: &mut Machine<'_>,
    tensor: &Tensor,
    (begin, end): (&mut usize, &mut usize),
    shape: &[Dim],
    (first, is_reversed): (i64, bool),
) -> Out<(Group, usize)> {
    let mut from = Vec::new();
    let (mut have, mut want) = (1usize, usize::try_from(first).unwrap_or(0).max(1));
    let mut used = 1;
    loop {
        if have == want && !from.is_empty() {
            break;
        }
        if have <= want {
            let next = match (*begin < *end, is_reversed) {
                (false, _) => None,
                (true, false) => Some(*begin),
                (true, true) => Some(*end - 1),
            };
            let axis = next.map(|n| &tensor.axes[n]);
            let size = axis
                .filter(|a| a.is_feature() || a.label == Label::One)
                .and_then(|a| a.size.number);
            let (Some(next), Some(size)) = (next, size) else {
                return Err(m.refuse(format!(
                    "the axes {} do not fit the new shape",
                    tensor.described()
                )));
            };
            match is_reversed {
                false => *begin += 1,
                true => *end -= 1,
            }
            from.push(next);
            have = have.saturating_mul(size.max(1));
        } else {
            match shape.get(used) {
                Some(Dim::Known(n)) if *n > 0 => {
                    want = want.saturating_mul(usize::try_from(*n).unwrap_or(usize::MAX));
                }
                // The open size takes the rest.
                None => break,
                _ => {
                    return Err(m.refuse(format!(
                        "the axes {} do not fit the new shape",
                        tensor.described()
                    )));
                }
            }
            used += 1;
        }
    }
    let mut to = shape[..used].to_vec();
    if have != want {
        to.push(Dim::Known(-1));
    }
    if is_reversed {
        to.reverse();
        from.reverse();
    }
    Ok((Group { from, to }, used))
}
