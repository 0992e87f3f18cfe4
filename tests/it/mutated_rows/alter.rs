//! Other values in the place of those that stand in a column, drawn by the seed.

use serde_json::Value;

use super::draw::Draw;

impl Draw {
    /// Another value of a type, as SQL.
    pub(super) fn altered(&mut self, kind: &str, before: &str) -> String {
        match kind {
            "bytea" => {
                let mut bytes: Vec<u8> =
                    (2..before.len()).step_by(2).map(|at| u8::from_str_radix(&before[at..at + 2], 16).unwrap()).collect();
                let at = usize::try_from(self.below(bytes.len().max(1) as u64)).unwrap();
                let flip = u8::try_from(1 + self.below(255)).unwrap();
                match bytes.get_mut(at) {
                    Some(byte) => *byte ^= flip,
                    None => bytes.extend([flip; 32]),
                }
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("'\\x{hex}'::bytea")
            }
            "jsonb" => {
                let mut value: Value = serde_json::from_str(before).unwrap();
                self.alter(&mut value);
                // Who issued a permit is the installation's, and the selectors excepted are only counted.
                if let (Some(changed), Ok(Value::Object(was))) = (value.as_object_mut(), serde_json::from_str(before))
                    && was.contains_key("jti")
                    && ["iss", "except"].iter().any(|member| changed.get(*member) != was.get(*member))
                {
                    changed.extend(["iss", "except"].map(|member| (member.to_owned(), was[member].clone())));
                    changed.remove("log");
                }
                format!("'{}'::jsonb", value.to_string().replace('\'', "''"))
            }
            "text" => format!("'{}'", self.word(before).replace('\'', "''")),
            "uuid" => "gen_random_uuid()".to_owned(),
            "_text" => format!("'{}'::text[] || 'x'::text", before.replace('\'', "''")),
            "int2" | "int4" | "int8" => {
                let (before, by): (i64, i64) = (before.parse().unwrap(), [1, -1, 2, 100][usize::try_from(self.below(4)).unwrap()]);
                (before + by).to_string()
            }
            "date" => format!("'{before}'::date {} 1", ["+", "-"][usize::try_from(self.below(2)).unwrap()]),
            "timestamptz" => {
                let by = ["1 ms", "-1 ms", "1 s", "-1 s", "1 day", "-1 day"][usize::try_from(self.below(6)).unwrap()];
                format!("'{before}'::timestamptz + interval '{by}'")
            }
            _ => unreachable!("{kind}"),
        }
    }

    fn word(&mut self, before: &str) -> String {
        let known = ["customer", "ops", "export", "restriction", "itslearning", "export.refused", "export.tried", "customer.released"];
        let word = known[usize::try_from(self.below(known.len() as u64)).unwrap()];
        if self.below(2) == 0 && word != before { word.to_owned() } else { format!("{before}x") }
    }

    /// Changes one leaf of a value, or takes one away.
    fn alter(&mut self, value: &mut Value) {
        let choice = self.below(4);
        match value {
            Value::Object(members) if !members.is_empty() => {
                let name = members.keys().nth(usize::try_from(self.below(members.len() as u64)).unwrap()).unwrap().clone();
                match choice {
                    0 => drop(members.remove(&name)),
                    _ => self.alter(members.get_mut(&name).unwrap()),
                }
            }
            Value::Array(elements) if !elements.is_empty() => {
                let at = usize::try_from(self.below(elements.len() as u64)).unwrap();
                match choice {
                    0 => drop(elements.remove(at)),
                    1 => elements.push(elements[at].clone()),
                    _ => self.alter(&mut elements[at]),
                }
            }
            Value::String(text) => *text = self.word(text),
            Value::Number(number) => *value = (number.as_i64().unwrap() + 1).into(),
            Value::Bool(is) => *is = !*is,
            Value::Null => *value = 1.into(),
            Value::Object(members) => drop(members.insert("x".to_owned(), 1.into())),
            Value::Array(elements) => elements.push("x".into()),
        }
    }
}
