#!/usr/bin/env python3
"""Print the tables of CRC-32C (crc32c_engine.h) as C, so that no start of the program computes them.

    crc32c_tables.py > crc32c_tables.c        # the build does it: meson.build

A register holds the coefficient of x^0 in its highest bit, so dividing by the polynomial shifts to
the right (Warren, Hacker's Delight, chapter 14). Appending n zero bytes multiplies by x^(8n).
"""

POLYNOMIAL = 0x82F63B78  # Castagnoli's, with its bits reversed: crc32c_engine.h
SHIFTS = {"page_shift": 8192, "long_shift": 2720, "short_shift": 256}  # bytes


def divide(state):
    return state >> 1 ^ (POLYNOMIAL if state & 1 else 0)


def multiply(a, b):
    product = 0
    for bit in range(31, -1, -1):
        product ^= b if a >> bit & 1 else 0
        b = divide(b)
    return product


def step_tables():
    first = []
    for state in range(256):
        for _ in range(8):
            state = divide(state)
        first.append(state)
    tables = [first]
    for _ in range(7):
        tables.append([before >> 8 ^ first[before & 255] for before in tables[-1]])
    return tables


def powers():
    """x^(8 * 2^i)"""
    found = [1 << 23]
    while len(found) < 64:
        found.append(multiply(found[-1], found[-1]))
    return found


def shift(size, power_of_two):
    factor = 1 << 31
    for i, power in enumerate(power_of_two):
        factor = multiply(power, factor) if size >> i & 1 else factor
    return [[multiply(factor, value << 8 * byte) for value in range(256)] for byte in range(4)]


def row(numbers):
    return ", ".join(f"0x{number:08x}" for number in numbers)


def square(tables):
    return ",\n".join(f"    {{{row(table)}}}" for table in tables)


def main():
    power_of_two = powers()
    print('#include "crc32c_engine.h"\n')
    print(f"const uint32_t crc32c_steps[8][256] = {{\n{square(step_tables())}\n}};\n")
    print(f"const uint32_t crc32c_powers[64] = {{{row(power_of_two)}}};\n")
    for name, size in SHIFTS.items():
        print(f"const Crc32cShift crc32c_{name} = {{{{\n{square(shift(size, power_of_two))}\n}}}};\n")


main()
