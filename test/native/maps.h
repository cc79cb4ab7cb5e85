// Maps of made-up calls, and what they should hold.
#pragma once
#include "call.h"
#include "naive.h"

void makeMap(Problem &, Choices &, Memory &);

// As the kernels want a map's results to come.
void clearMap(const Problem &);

// As disagreement().
std::string mapDisagreement(const Problem &, const Results &expected);
