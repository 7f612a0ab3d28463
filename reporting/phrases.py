"""Numbers and lists as the answer in words has them."""


def minutes(value, unit=" min"):
    """`0.4 min`, `12 min`."""
    return (f"{value:.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.05
            else "under 0.1") + unit


def points(fraction):
    """`1.5`, the percentage points of a fraction."""
    return f"{100 * fraction:.1f}".replace("-0.0", "0.0")


def percent(fraction):
    """`45.9 %`."""
    return f"{100 * fraction:.1f} %"


def side(fraction, sign):
    """`1.5 points behind`. Args: sign: of a difference that is rounded to none."""
    behind = fraction < 0 or fraction == 0 and sign < 0
    return f"{points(abs(fraction))} points {'behind' if behind else 'ahead'}"


def p_value(p):
    """`0.0312`, `< 0.0001`."""
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def listed(texts):
    """`a, b and c`."""
    *before, last = texts
    return ", ".join(before) + " and " * bool(before) + last
