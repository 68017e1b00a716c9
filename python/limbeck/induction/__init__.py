"""Induction: rules from demonstrations, as text that is parsed, run and scored exactly."""

from limbeck.induction.controls import accuracy, majority, slot_memoriser
from limbeck.induction.files import read_tasks, write_tasks
from limbeck.induction.hypotheses import Hypotheses, read_hypotheses, write_rule_prompts
from limbeck.induction.prompts import apply_prompt, few_shot_prompt, rule_prompt
from limbeck.induction.records import query_record, write_query_records
from limbeck.induction.rules import Rule, RuleError, parse_rule
from limbeck.induction.score import Scored, Summary, best, score, score_rule, summarize
from limbeck.induction.solvers import solve_acre, solve_miniscan
from limbeck.induction.split import split_tasks
from limbeck.induction.task import KINDS, InductionTask, Kind, Pair
from limbeck.induction.training import training_data, write_training_data

__all__ = [
    "KINDS",
    "Hypotheses",
    "InductionTask",
    "Kind",
    "Pair",
    "Rule",
    "RuleError",
    "Scored",
    "Summary",
    "accuracy",
    "apply_prompt",
    "best",
    "few_shot_prompt",
    "majority",
    "parse_rule",
    "query_record",
    "read_hypotheses",
    "read_tasks",
    "rule_prompt",
    "score",
    "score_rule",
    "slot_memoriser",
    "solve_acre",
    "solve_miniscan",
    "split_tasks",
    "summarize",
    "training_data",
    "write_query_records",
    "write_rule_prompts",
    "write_tasks",
    "write_training_data",
]
