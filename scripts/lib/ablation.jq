# One row a condition: for each kind of question the mean over seeds, the lowest and the highest share of right answers, in percent.
def percent: . * 1000 | round / 10;
(map(.tables[].rows[].kind) | unique) as $kinds
| "| trained on | " + ($kinds | join(" | ")) + " |",
  "|---|" + ($kinds | map("---|") | add),
  (.[] | . as $row
    | "| \(.condition) | "
      + ($kinds
        | map(. as $kind
          | [$row.tables[].rows[] | select(.kind == $kind) | .real.right / .real.of]
          | if length == 0 then "" else "\(add / length | percent) (\(min | percent) to \(max | percent))" end)
        | join(" | "))
      + " |")
