//! The tree of a Parquet file's columns, with the levels by which rows are put together again.

use std::ops::Range;

use super::footer::Element;
use super::thrift::Read;
use super::values::Physical;

/// Nodes within each other at the most.
const MAX_DEPTH: usize = 24;
/// Nodes in all: what people train on has a dozen columns.
const MAX_ELEMENTS: usize = 20_000;

/// One value of a row: a stored column, or what is made of several.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) shape: Shape,
    /// Definition level from which on it is not null.
    pub(super) def: u32,
    /// The stored columns below it.
    pub(super) leaves: Range<usize>,
}

/// JSON form of a node.
pub(super) enum Shape {
    Value,
    Object(Vec<Node>),
    /// A list that has an item from the definition level `def` on; the others begin with the repetition level `rep`.
    List {
        def: u32,
        rep: u32,
        item: Box<Node>,
    },
}

/// A stored column.
pub(super) struct Leaf {
    pub(super) physical: Physical,
    pub(super) max_def: u32,
    pub(super) max_rep: u32,
}

/// The columns of a table, and what is stored.
pub(super) fn tree(elements: &[Element]) -> Read<(Vec<Node>, Vec<Leaf>)> {
    if elements.len() > MAX_ELEMENTS {
        return Err(format!("it has {} columns", elements.len()));
    }
    let mut builder = Builder { rest: elements.iter(), leaves: Vec::new() };
    let root = builder.rest.next().ok_or("it has no columns")?;
    let roots = builder.children(root.children, Levels::default())?;
    Ok((roots, builder.leaves))
}

/// Levels of what a node is in.
#[derive(Clone, Copy, Default)]
struct Levels {
    def: u32,
    rep: u32,
    depth: usize,
}

struct Builder<'a> {
    rest: std::slice::Iter<'a, Element>,
    leaves: Vec<Leaf>,
}

impl<'a> Builder<'a> {
    fn children(&mut self, n: usize, levels: Levels) -> Read<Vec<Node>> {
        if n == 0 || n > self.rest.len() {
            return Err("its columns do not form a tree".to_owned());
        }
        (0..n).map(|_| self.child(levels)).collect()
    }

    fn child(&mut self, levels: Levels) -> Read<Node> {
        let element = self.rest.next().ok_or("its columns do not form a tree")?;
        self.node(element, levels)
    }

    fn node(&mut self, element: &'a Element, mut levels: Levels) -> Read<Node> {
        levels.depth += 1;
        if levels.depth > MAX_DEPTH {
            return Err("its columns are nested too deeply".to_owned());
        }
        let begin = self.leaves.len();
        let name = element.name.clone();
        if element.repetition == 2 {
            // A list without a node of its own.
            let (def, rep) = (levels.def + 1, levels.rep + 1);
            let item = Box::new(self.content(element, Levels { def, rep, ..levels })?);
            let shape = Shape::List { def, rep, item };
            return Ok(Node { name, shape, def: levels.def, leaves: begin..self.leaves.len() });
        }
        levels.def += u32::from(element.repetition == 1);
        self.content(element, levels)
    }

    /// A node whose own repetition is in the levels already.
    fn content(&mut self, element: &'a Element, levels: Levels) -> Read<Node> {
        let (begin, def) = (self.leaves.len(), levels.def);
        let shape = match element.physical {
            Some(code) => {
                let physical = Physical::new(code, element.length)?;
                self.leaves.push(Leaf { physical, max_def: levels.def, max_rep: levels.rep });
                Shape::Value
            }
            None if element.is_list && element.children == 1 => {
                let repeated = self.rest.next().ok_or("its columns do not form a tree")?;
                match repeated.repetition {
                    2 => self.list(repeated, levels)?,
                    _ => Shape::Object(vec![self.node(repeated, levels)?]),
                }
            }
            None => Shape::Object(self.children(element.children, levels)?),
        };
        Ok(Node { name: element.name.clone(), shape, def, leaves: begin..self.leaves.len() })
    }

    /// A list whose items are below `repeated`, or are `repeated` itself in files of old writers.
    fn list(&mut self, repeated: &'a Element, levels: Levels) -> Read<Shape> {
        let (def, rep) = (levels.def + 1, levels.rep + 1);
        let inner = Levels { def, rep, depth: levels.depth + 1 };
        let is_item = repeated.physical.is_some()
            || repeated.children != 1
            || repeated.name == "array"
            || repeated.name.ends_with("_tuple");
        let item = if is_item { self.content(repeated, inner)? } else { self.child(inner)? };
        Ok(Shape::List { def, rep, item: Box::new(item) })
    }
}
