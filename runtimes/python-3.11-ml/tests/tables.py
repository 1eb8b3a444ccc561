"""Takes a table through CSV (plain and compressed) and pickle and back, and groups, joins and resamples it."""
import numpy as np
import pandas as pd

rows = 3000
random = np.random.default_rng(1)
table = pd.DataFrame(
    {
        "when": pd.date_range("2024-03-30", periods=rows, freq="h", tz="Europe/Berlin"),
        "city": pd.Categorical(random.choice(["Zürich", "東京", "a,b\n\"c\""], rows)),
        "value": random.standard_normal(rows),
        "count": random.integers(0, 100, rows).astype("int32"),
    }
)
table.loc[::7, "value"] = np.nan
for file in ("table.csv", "table.csv.gz", "table.csv.xz"):
    table.to_csv(file, index=False)
    back = pd.read_csv(file, dtype={"city": "category", "count": "int32"})
    back["when"] = pd.to_datetime(back["when"], utc=True).dt.tz_convert("Europe/Berlin")
    pd.testing.assert_frame_equal(back, table, check_freq=False, rtol=0, atol=1e-15)
table.to_pickle("table.pickle")
pd.testing.assert_frame_equal(pd.read_pickle("table.pickle"), table, check_freq=False)

means = table.groupby("city", observed=True)["value"].mean()
by_hand = {city: np.nanmean(table.loc[table["city"] == city, "value"]) for city in table["city"].cat.categories}
assert np.allclose(means[list(by_hand)], list(by_hand.values()))
joined = table.merge(means.rename("mean").reset_index(), on="city", validate="many_to_one")
assert len(joined) == rows
# The night on which clocks were set forward has 23 hours.
days = table.set_index("when")["count"].resample("D").size()
assert days.iloc[1] == 23, days.head()
print(len(back), "rows")
