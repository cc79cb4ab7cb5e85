// The judge: attention as its formula says, in float64, one number after the other. It shares nothing with the kernels
// but the problem.
#pragma once
#include "../../native/kernel.h"
#include <cmath>
#include <string>
#include <vector>

// Element of an array of a type; of halves and bools too.
double numberAt(Type type, const void *data, int64_t index);

// Writes what a type can hold of a number, cutting off digits.
void putNumber(Type type, void *data, int64_t index, double number);

size_t sizeOf(Type type);

// Whether query i of (batch entry b, head h) sees key j.
bool sees(const Problem &, int64_t b, int64_t h, int64_t i, int64_t j);

struct Results {
  std::vector<double> output, lse, weights; // [batch, heads, tq] and dv, nothing, tk
};

Results naive(const Problem &);

// What a number of a row may be off by: the README's bound for values of about unit size. Where queries and
// probabilities may be rounded to bfloat16, a score is a sum of d products that are each off by up to 2^-9: six
// standard deviations of it. Beside int8 keys, queries are rounded by up to 2^-16 of their largest element, 4 here.
double errorOf(const Problem &, double lse);

// What the arrays of a problem hold after a kernel has run it against what they should, in words; empty where they
// agree.
std::string disagreement(const Problem &, const Results &expected);
