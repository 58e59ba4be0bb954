/* Lyapunov exponents of the Hénon map (1 - a x^2 + y, b x) along one trajectory.
 *
 * Both functions make the frame orthogonal in every step and fill exponents[2], in natural units a step.
 *   henon_qr    to length one as well, which is a QR factorisation a step. A logarithm costs as much as a step, so
 *               one is taken of the product of EACH squared pivots.
 *   henon_lazy  the columns are brought back to length one only every EACH steps: their lengths hold the product
 *               of the pivots, and no square root stands in the chain from one step to the next.
 */
#include <math.h>

enum { EACH = 8 };

static long steps_left(long done, long n_steps)
{
    return n_steps - done < EACH ? n_steps - done : EACH;
}

void henon_qr(double x, double y, double a, double b, long n_steps, double *exponents)
{
    double q00 = 1.0, q10 = 0.0, q01 = 0.0, q11 = 1.0, first = 0.0, second = 0.0;
    for (long done = 0; done < n_steps; done += EACH) {
        const long count = steps_left(done, n_steps);
        double squares = 1.0, rests = 1.0;
        for (long i = 0; i < count; i++) {
            const double slope = -2.0 * a * x;
            const double next = 1.0 - a * x * x + y;
            y = b * x;
            x = next;
            const double v00 = slope * q00 + q10, v10 = b * q00;
            const double v01 = slope * q01 + q11, v11 = b * q01;
            const double square = v00 * v00 + v10 * v10;
            const double inverse = 1.0 / sqrt(square);
            q00 = v00 * inverse;
            q10 = v10 * inverse;
            const double overlap = q00 * v01 + q10 * v11;
            const double w01 = v01 - overlap * q00, w11 = v11 - overlap * q10;
            const double rest = w01 * w01 + w11 * w11;
            const double scale = 1.0 / sqrt(rest);
            q01 = w01 * scale;
            q11 = w11 * scale;
            squares *= square;
            rests *= rest;
        }
        first += log(squares);
        second += log(rests);
    }
    exponents[0] = 0.5 * first / n_steps;
    exponents[1] = 0.5 * second / n_steps;
}

void henon_lazy(double x, double y, double a, double b, long n_steps, double *exponents)
{
    double q00 = 1.0, q10 = 0.0, q01 = 0.0, q11 = 1.0, first = 0.0, second = 0.0;
    for (long done = 0; done < n_steps; done += EACH) {
        const long count = steps_left(done, n_steps);
        double square = 1.0;
        for (long i = 0; i < count; i++) {
            const double slope = -2.0 * a * x;
            const double next = 1.0 - a * x * x + y;
            y = b * x;
            x = next;
            const double v00 = slope * q00 + q10, v10 = b * q00;
            const double v01 = slope * q01 + q11, v11 = b * q01;
            square = v00 * v00 + v10 * v10;
            const double overlap = (v00 * v01 + v10 * v11) / square;
            q00 = v00;
            q10 = v10;
            q01 = v01 - overlap * v00;
            q11 = v11 - overlap * v10;
        }
        const double rest = q01 * q01 + q11 * q11;
        first += log(square);
        second += log(rest);
        const double inverse = 1.0 / sqrt(square), scale = 1.0 / sqrt(rest);
        q00 *= inverse;
        q10 *= inverse;
        q01 *= scale;
        q11 *= scale;
    }
    exponents[0] = 0.5 * first / n_steps;
    exponents[1] = 0.5 * second / n_steps;
}
