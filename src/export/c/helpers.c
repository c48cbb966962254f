/* True if all numbers are finite. */
static int all_finite(const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) {
            return 0;
        }
    }
    return 1;
}

/* True if all numbers are numbers of classes. */
static int all_classes(const double *x, size_t n, double classes)
{
    for (size_t i = 0; i < n; i++) {
        if (!(x[i] >= 0.0 && x[i] < classes && floor(x[i]) >= x[i])) {
            return 0;
        }
    }
    return 1;
}

/* The number of a class; zero if it is none, as it may be at an inactive step. */
static size_t class_or_zero(double x, double classes)
{
    return x >= 0.0 && x < classes ? (size_t)x : 0;
}

/* Copies numbers, with zeros in the place of those that are not finite. */
static void copy_finite(double *to, const double *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = isfinite(from[i]) ? from[i] : 0.0;
    }
}

static void copy(double *to, const double *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = from[i];
    }
}

static void clear(double *to, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = 0.0;
    }
}

/* to += x */
static void add(double *restrict to, const double *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        to[i] += x[i];
    }
}

/* to[j] += sum of x[i] m[i][j] over the k rows of a matrix with n columns in rows of `stride` entries */
static void add_rows(double *restrict to, size_t n, const double *restrict x, size_t k,
                     const double *restrict m, size_t stride)
{
    for (size_t i = 0; i < k; i++) {
        const double xi = x[i];
        for (size_t j = 0; j < n; j++) {
            to[j] += xi * m[i * stride + j];
        }
    }
}

/* to[j] += sum of m[j][i] x[i] over the k columns of a matrix with n rows of `stride` entries */
static void add_columns(double *restrict to, size_t n, const double *restrict x, size_t k,
                        const double *restrict m, size_t stride)
{
    const size_t fours = n - n % 4;
    /* Four sums at a time do not wait for one another. */
    for (size_t j = 0; j < fours; j += 4) {
        const double *const row = m + j * stride;
        double a = to[j];
        double b = to[j + 1];
        double c = to[j + 2];
        double d = to[j + 3];
        for (size_t i = 0; i < k; i++) {
            a += row[i] * x[i];
            b += row[stride + i] * x[i];
            c += row[2 * stride + i] * x[i];
            d += row[3 * stride + i] * x[i];
        }
        to[j] = a;
        to[j + 1] = b;
        to[j + 2] = c;
        to[j + 3] = d;
    }
    for (size_t j = fours; j < n; j++) {
        double sum = to[j];
        for (size_t i = 0; i < k; i++) {
            sum += m[j * stride + i] * x[i];
        }
        to[j] = sum;
    }
}

/* to[i][j] += a[i] b[j] */
static void add_outer(double *restrict to, const double *restrict a, size_t m,
                      const double *restrict b, size_t n)
{
    for (size_t i = 0; i < m; i++) {
        const double ai = a[i];
        for (size_t j = 0; j < n; j++) {
            to[i * n + j] += ai * b[j];
        }
    }
}

/* The product in which zero wins. */
static double strong(double a, double b)
{
    return a == 0.0 || b == 0.0 ? 0.0 : a * b;
}

/* to[i][j] += a[i] b[j], in which zero wins */
static void add_strong_outer(double *restrict to, const double *restrict a, size_t m,
                             const double *restrict b, size_t n)
{
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            to[i * n + j] += strong(a[i], b[j]);
        }
    }
}

static double square(double x)
{
    return x * x;
}

/* A whole power, by squaring. */
static double power(double x, int n)
{
    double result = 1.0;
    double square = x;
    unsigned left = n < 0 ? 0u - (unsigned)n : (unsigned)n;
    for (;;) {
        if ((left & 1u) != 0u) {
            result *= square;
        }
        left >>= 1;
        if (left == 0u) {
            return n < 0 ? 1.0 / result : result;
        }
        square *= square;
    }
}

/* The logistic function. */
static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

/* The larger of two numbers, NaN if either is. */
static double larger(double a, double b)
{
    return a > b || isnan(a) ? a : b;
}

/* ln(1 + exp(x)) without overflow or cancellation. */
static double softplus(double x)
{
    return larger(x, 0.0) + log1p(exp(-fabs(x)));
}

/* -1, 0 or 1, or NaN. */
static double sign(double x)
{
    return x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : x;
}

static double less(double a, double b)
{
    return a < b ? 1.0 : 0.0;
}

static double less_eq(double a, double b)
{
    return a <= b ? 1.0 : 0.0;
}

static double equal(double a, double b)
{
    return a == b ? 1.0 : 0.0;
}

/* b where a is nonzero, c where it is zero. */
static double choose(double a, double b, double c)
{
    return isnan(a) ? a : a == 0.0 ? c : b;
}

/* tan(pi x), with the whole part of x removed exactly. */
static double tan_pi(double x)
{
    return tan(3.14159265358979323846 * (x - round(x)));
}

/* The term of number `index` of the asymptotic series: B_2, B_4, ... */
static double bernoulli(int index)
{
    static const double numbers[10] = {
        1.0 / 6.0, -1.0 / 30.0, 1.0 / 42.0, -1.0 / 30.0, 5.0 / 66.0, -691.0 / 2730.0, 7.0 / 6.0,
        -3617.0 / 510.0, 43867.0 / 798.0, -174611.0 / 330.0};
    return numbers[index];
}

/* digamma(x) / (x - r) for its positive zero r, by Euler and Maclaurin. */
static double digamma_slope(double x)
{
    const double r = 1.4616321449683622;
    double near = 0.0;
    for (int k = 39; k >= 0; k--) {
        near += 1.0 / (((double)k + x) * ((double)k + r));
    }
    const double a = 1.0 / (40.0 + x);
    const double b = 1.0 / (40.0 + r);
    const double away = x - r;
    const double integral = away == 0.0 ? b : log1p(away * b) / away;
    const double ab = a * b;
    double fifth = 0.0;
    for (int i = 0; i <= 5; i++) {
        fifth += power(a, i) * power(b, 5 - i);
    }
    return near + integral + 0.5 * ab + ab * (a + b) / 12.0 - ab * (a + b) * (a * a + b * b) / 120.0 +
           ab * fifth / 252.0;
}

/* The derivative of lgamma (Abramowitz and Stegun 1964, 6.3.18). */
static double digamma(double x)
{
    double below = 0.0;
    double result = 0.0;
    if (isnan(x) || (isinf(x) && x > 0.0)) {
        return x;
    }
    if (x <= 0.0) {
        if (x == floor(x)) {
            return NAN;
        }
        result = -3.14159265358979323846 / tan_pi(x);
        x = 1.0 - x;
    }
    const double away = (x - 1.4616321449683622) - 9.549995429965698e-17;
    if (fabs(away) < 0.5) {
        return result + away * digamma_slope(x);
    }
    while (x < 16.0) {
        below += 1.0 / x;
        x += 1.0;
    }
    const double square = 1.0 / (x * x);
    double power = 1.0;
    double series = 0.0;
    for (int k = 0; k < 10; k++) {
        power *= square;
        series += bernoulli(k) / (double)(2 * k + 2) * power;
    }
    return result + (log(x) - 0.5 / x - series - below);
}

/* The derivative of an order of digamma (Abramowitz and Stegun 1964, 6.4.11). */
static double polygamma(double x, double order)
{
    if (order < 1.0) {
        return digamma(x);
    }
    if (isnan(x) || order > 170.0 || x < -1000.0 || (x <= 0.0 && x == floor(x))) {
        return NAN;
    }
    const double factorial = tgamma(order + 1.0);
    double below = 0.0;
    while (x < 16.0 + order) {
        below += factorial * pow(x, -order - 1.0);
        x += 1.0;
    }
    const double square = 1.0 / (x * x);
    double factor = factorial / order;
    double series = 0.0;
    for (int index = 0; index < 10; index++) {
        const double k = (double)(2 * index + 2);
        factor *= (k + order - 2.0) * (k + order - 1.0) / (k * (k - 1.0)) * square;
        series += bernoulli(index) * factor;
    }
    const double above = pow(x, -order) * (factorial / order + 0.5 * factorial / x + series);
    return fmod(order, 2.0) == 0.0 ? -(above + below) : above + below;
}

/* The index of the largest of n entries at this distance. */
static size_t index_of_largest(const double *x, size_t n, size_t step)
{
    size_t at = 0;
    for (size_t i = 1; i < n; i++) {
        if (x[i * step] > x[at * step]) {
            at = i;
        }
    }
    return at;
}

/* The sum of exp(x - shift) over all entries but one. */
static double sum_of_powers(const double *x, size_t n, size_t step, double shift, size_t without)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        if (i != without) {
            sum += exp(x[i * step] - shift);
        }
    }
    return sum;
}

/* ln of the sum of exp(x). */
static void logsumexp(double *to, const double *x, size_t n, size_t step)
{
    const size_t at = index_of_largest(x, n, step);
    if (isfinite(x[at * step])) {
        to[0] = x[at * step] + log1p(sum_of_powers(x, n, step, x[at * step], at));
    } else {
        to[0] = log(sum_of_powers(x, n, step, 0.0, n));
    }
}

/* exp(x) / sum of exp(x). */
static void softmax(double *to, const double *x, size_t n, size_t step)
{
    const size_t at = index_of_largest(x, n, step);
    const int finite = isfinite(x[at * step]);
    const double shift = finite ? x[at * step] : 0.0;
    const double rest = sum_of_powers(x, n, step, shift, finite ? at : n);
    const double all = finite ? 1.0 + rest : rest;
    for (size_t i = 0; i < n; i++) {
        to[i * step] = exp(x[i * step] - shift) / all;
    }
}

/* x - ln of the sum of exp(x). */
static void log_softmax(double *to, const double *x, size_t n, size_t step)
{
    const size_t at = index_of_largest(x, n, step);
    const int finite = isfinite(x[at * step]);
    const double shift = finite ? x[at * step] : 0.0;
    const double rest = sum_of_powers(x, n, step, shift, finite ? at : n);
    const double log_of_all = finite ? log1p(rest) : log(rest);
    for (size_t i = 0; i < n; i++) {
        to[i * step] = x[i * step] - shift - log_of_all;
    }
}

/* Factors of the n rows of a matrix, with their order; 1 or -1 for the sign of the order, 0 if it is singular. */
static int factorise(double *a, size_t *rows, size_t n)
{
    int sign = 1;
    for (size_t i = 0; i < n; i++) {
        rows[i] = i;
    }
    for (size_t k = 0; k < n; k++) {
        size_t largest = k;
        for (size_t i = k + 1; i < n; i++) {
            if (fabs(a[i * n + k]) > fabs(a[largest * n + k])) {
                largest = i;
            }
        }
        if (largest != k) {
            const size_t row = rows[k];
            rows[k] = rows[largest];
            rows[largest] = row;
            for (size_t j = 0; j < n; j++) {
                const double entry = a[k * n + j];
                a[k * n + j] = a[largest * n + j];
                a[largest * n + j] = entry;
            }
            sign = -sign;
        }
        if (a[k * n + k] == 0.0 || !isfinite(a[k * n + k])) {
            return 0;
        }
        for (size_t i = k + 1; i < n; i++) {
            const double factor = a[i * n + k] / a[k * n + k];
            a[i * n + k] = factor;
            for (size_t j = k + 1; j < n; j++) {
                a[i * n + j] -= factor * a[k * n + j];
            }
        }
    }
    return sign;
}

/* The solution of A X = B for `columns` columns, with room for the n rows of A and their order. */
static void solve(double *x, const double *a, size_t n, const double *b, size_t columns,
                  double *factors, size_t *rows)
{
    copy(factors, a, n * n);
    const int is_regular = factorise(factors, rows, n) != 0;
    for (size_t c = 0; c < columns; c++) {
        if (!is_regular) {
            int is_zero = 1;
            for (size_t i = 0; i < n; i++) {
                is_zero = is_zero && b[i * columns + c] == 0.0;
            }
            for (size_t i = 0; i < n; i++) {
                x[i * columns + c] = is_zero ? 0.0 : NAN;
            }
            continue;
        }
        for (size_t i = 0; i < n; i++) {
            double rest = b[rows[i] * columns + c];
            for (size_t j = 0; j < i; j++) {
                rest -= factors[i * n + j] * x[j * columns + c];
            }
            x[i * columns + c] = rest;
        }
        for (size_t i = n; i-- > 0;) {
            double rest = x[i * columns + c];
            for (size_t j = i + 1; j < n; j++) {
                rest -= factors[i * n + j] * x[j * columns + c];
            }
            x[i * columns + c] = rest / factors[i * n + i];
        }
    }
}

/* The inverse, with room for the rows of the matrix and their order. */
static void inverse(double *x, const double *a, size_t n, double *factors, size_t *rows)
{
    copy(factors, a, n * n);
    const int is_regular = factorise(factors, rows, n) != 0;
    for (size_t c = 0; c < n; c++) {
        for (size_t i = 0; i < n; i++) {
            double rest = rows[i] == c ? 1.0 : 0.0;
            for (size_t j = 0; is_regular && j < i; j++) {
                rest -= factors[i * n + j] * x[j * n + c];
            }
            x[i * n + c] = is_regular ? rest : NAN;
        }
        for (size_t i = n; is_regular && i-- > 0;) {
            double rest = x[i * n + c];
            for (size_t j = i + 1; j < n; j++) {
                rest -= factors[i * n + j] * x[j * n + c];
            }
            x[i * n + c] = rest / factors[i * n + i];
        }
    }
}

/* ln det A, with room for the rows of the matrix and their order. */
static void logdet(double *to, const double *a, size_t n, double *factors, size_t *rows)
{
    copy(factors, a, n * n);
    int sign_of_all = factorise(factors, rows, n);
    if (sign_of_all == 0) {
        to[0] = all_finite(factors, n * n) ? -INFINITY : NAN;
        return;
    }
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += log(fabs(factors[i * n + i]));
        sign_of_all = factors[i * n + i] < 0.0 ? -sign_of_all : sign_of_all;
    }
    to[0] = sign_of_all < 0 ? NAN : sum;
}

/* The lower triangular L with L L' = (A + A') / 2. */
static void cholesky(double *l, const double *a, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            if (j > i) {
                l[i * n + j] = 0.0;
                continue;
            }
            double rest = 0.5 * (a[i * n + j] + a[j * n + i]);
            for (size_t k = 0; k < j; k++) {
                rest -= l[i * n + k] * l[j * n + k];
            }
            if (i == j) {
                l[i * n + j] = rest > 0.0 ? sqrt(rest) : NAN;
            } else {
                l[i * n + j] = rest / l[j * n + j];
            }
        }
    }
}

/* The lower triangle of a matrix, with its diagonal times `diagonal`. */
static void lower_triangle(double *to, const double *a, size_t rows, size_t columns, double diagonal)
{
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j < columns; j++) {
            const double factor = i > j ? 1.0 : diagonal;
            to[i * columns + j] = i < j ? 0.0 : factor * a[i * columns + j];
        }
    }
}

/* The sums of the first 1, 2, ... of n entries at this distance. */
static void cumulative_sum(double *to, const double *x, size_t n, size_t step)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += x[i * step];
        to[i * step] = sum;
    }
}

/* The sums of the last 1, 2, ... of n entries at this distance. */
static void cumulative_sum_back(double *to, const double *x, size_t n, size_t step)
{
    double sum = 0.0;
    for (size_t i = n; i-- > 0;) {
        sum += x[i * step];
        to[i * step] = sum;
    }
}

/* The largest of n entries at this distance, NaN if any is. */
static void largest(double *to, const double *x, size_t n, size_t step)
{
    to[0] = x[0];
    for (size_t i = 1; i < n && !isnan(to[0]); i++) {
        to[0] = x[i * step] > to[0] || isnan(x[i * step]) ? x[i * step] : to[0];
    }
}

/* The smallest of n entries at this distance, NaN if any is. */
static void smallest(double *to, const double *x, size_t n, size_t step)
{
    to[0] = x[0];
    for (size_t i = 1; i < n && !isnan(to[0]); i++) {
        to[0] = x[i * step] < to[0] || isnan(x[i * step]) ? x[i * step] : to[0];
    }
}
