//! Several calls in one request (Bitrix24: batch).

use serde_json::{Map, Value, json};

use super::answer::{self, Answer, Time};
use super::{Call, Error, Portal};
use crate::secret::AccessToken;
use crate::{form, loose};

/// Most calls that one batch takes.
pub const MAX_BATCH: usize = 50;

impl Portal {
    /// Runs up to [`MAX_BATCH`] calls in one request and gives each its own result, in order.
    ///
    /// A failed call does not stop those after it. One request for the rate limit, though each call still costs its
    /// method's operating time. A `$result[…]` in a parameter is replaced by the portal, so texts of other people do
    /// not belong in a batch.
    pub async fn batch(
        &self,
        calls: &[Call],
        token: &AccessToken,
    ) -> Result<Vec<Result<Answer, Error>>, Error> {
        if calls.len() > MAX_BATCH {
            return Err(Error::NotSent {
                why: "a batch has more than 50 calls",
            });
        }
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let answer = self.call("batch", &parameters(calls), token).await?;
        Ok(results(&answer.result, calls.len(), token))
    }
}

/// The call of a batch, for a caller that runs one [`Call`] at a time; at most [`MAX_BATCH`] calls belong in it.
pub fn batch_call(calls: &[Call]) -> Call {
    Call::new("batch", parameters(calls))
}

/// The results of a [`batch_call`] of `count` calls, in order; `None` for one that failed.
pub fn read_batch(result: &Value, count: usize) -> Vec<Option<Value>> {
    (0..count)
        .map(|index| {
            let name = name(index);
            if loose::at(result, &["result_error", &name]).is_some() {
                return None;
            }
            loose::get(result, "result")?.get(&name).cloned()
        })
        .collect()
}

/// As [`read_batch`], and says why a call failed, by its code alone: descriptions may repeat what must not be shown.
pub fn read_batch_results(result: &Value, count: usize) -> Vec<Result<Value, Error>> {
    let mut results = results(result, count, &AccessToken::new(""));
    for error in results
        .iter_mut()
        .filter_map(|result| result.as_mut().err())
    {
        if let Error::Rest { description, .. } = error {
            description.clear();
        }
    }
    (results.into_iter())
        .map(|result| result.map(|answer| answer.result))
        .collect()
}

/// Names that keep the portal from answering with a list in one case and a map in another.
fn name(index: usize) -> String {
    format!("c{index}")
}

fn parameters(calls: &[Call]) -> Value {
    let commands: Map<String, Value> = calls
        .iter()
        .enumerate()
        .map(|(index, call)| {
            let query = form::encode(&call.params);
            (name(index), Value::from(format!("{}?{query}", call.method)))
        })
        .collect();
    json!({ "halt": 0, "cmd": commands })
}

fn results(batch: &Value, count: usize, token: &AccessToken) -> Vec<Result<Answer, Error>> {
    (0..count)
        .map(|index| {
            let name = name(index);
            if let Some(error) = loose::at(batch, &["result_error", &name]) {
                return Err(answer::rest_error(error, 200, token));
            }
            let result = loose::get(batch, "result")
                .and_then(|results| results.get(&name))
                .ok_or_else(|| Error::Unknown {
                    http: Some(200),
                    detail: "the batch has no result for this call".to_owned(),
                })?;
            Ok(Answer {
                result: result.clone(),
                next: loose::integer_at(batch, &["result_next", &name]),
                total: loose::integer_at(batch, &["result_total", &name]),
                time: loose::at(batch, &["result_time", &name]).and_then(Time::read),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_encoded_once() {
        let calls = [
            Call::new("app.info", json!({})),
            Call::new("x.y", json!({"A": ["b c", {"d": true}]})),
        ];
        assert_eq!(
            parameters(&calls),
            json!({"halt": 0, "cmd": {"c0": "app.info?", "c1": "x.y?A%5B0%5D=b+c&A%5B1%5D%5Bd%5D=1"}})
        );
    }

    #[test]
    fn each_call_has_its_own_result() {
        let token = AccessToken::new("geheim");
        let batch = json!({
            "result": {"c0": {"ID": 1}, "c2": null}, "result_error": {"c1": {"error": "insufficient_scope", "error_description": ""}},
            "result_total": [], "result_next": {"c0": 50}, "result_time": {"c0": {"duration": 1}}
        });
        let results = results(&batch, 4, &token);
        assert!(
            matches!(&results[0], Ok(answer) if answer.next == Some(50) && answer.time.is_some())
        );
        assert!(
            matches!(&results[1], Err(Error::Rest { code, .. }) if code == "INSUFFICIENT_SCOPE")
        );
        assert!(matches!(&results[2], Ok(answer) if answer.result.is_null()));
        assert!(matches!(&results[3], Err(Error::Unknown { .. })));
    }

    #[test]
    fn a_batch_in_which_all_failed_has_lists_for_maps() {
        let batch = json!({"result": [], "result_error": {"c0": {"error": "X", "error_description": "y"}}, "result_time": []});
        let results = results(&batch, 1, &AccessToken::new("t"));
        assert!(matches!(&results[0], Err(Error::Rest { code, .. }) if code == "X"));
    }
}
