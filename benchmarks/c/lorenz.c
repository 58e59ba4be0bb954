/* Lyapunov exponents of the Lorenz system under Runge-Kutta steps of order four, along one trajectory.
 *
 * The frame goes through the stages together with the state, so that its growth is that of the step's exact
 * derivative. It is made orthogonal in every step; exponents[3] are filled, per unit of time.
 *   lorenz_qr    to length one as well, which is a QR factorisation a step; one logarithm every EACH steps.
 *   lorenz_lazy  to length one only every EACH steps (see henon.c).
 *
 * The three vectors are the lanes of one SIMD register for each of x, y and z.
 */
#include <math.h>

enum { EACH = 8 };

typedef double lanes __attribute__((vector_size(32)));
typedef struct { double x, y, z; } vec;
typedef struct { lanes x, y, z; } frame;
typedef struct { double sigma, rho, beta, dt; } system_t;

static inline vec rhs(vec s, system_t p)
{
    return (vec){p.sigma * (s.y - s.x), s.x * (p.rho - s.z) - s.y, s.x * s.y - p.beta * s.z};
}

static inline frame tangent(vec s, frame v, system_t p)
{
    return (frame){p.sigma * (v.y - v.x), (p.rho - s.z) * v.x - v.y - s.x * v.z, s.y * v.x + s.x * v.y - p.beta * v.z};
}

static inline vec add(vec s, double h, vec k)
{
    return (vec){s.x + h * k.x, s.y + h * k.y, s.z + h * k.z};
}

static inline frame add_frame(frame v, double h, frame k)
{
    return (frame){v.x + h * k.x, v.y + h * k.y, v.z + h * k.z};
}

static inline double dot(vec a, vec b)
{
    return a.x * b.x + a.y * b.y + a.z * b.z;
}

static inline vec scaled(vec a, double c)
{
    return (vec){c * a.x, c * a.y, c * a.z};
}

static inline void step(vec *state, frame *q, system_t p)
{
    const double h = p.dt, half = p.dt / 2, third = p.dt / 3, sixth = p.dt / 6;
    const vec s1 = *state, k1 = rhs(s1, p);
    const vec s2 = add(s1, half, k1), k2 = rhs(s2, p);
    const vec s3 = add(s1, half, k2), k3 = rhs(s3, p);
    const vec s4 = add(s1, h, k3), k4 = rhs(s4, p);
    const frame l1 = tangent(s1, *q, p);
    const frame l2 = tangent(s2, add_frame(*q, half, l1), p);
    const frame l3 = tangent(s3, add_frame(*q, half, l2), p);
    const frame l4 = tangent(s4, add_frame(*q, h, l3), p);
    *state = add(add(add(add(s1, sixth, k1), third, k2), third, k3), sixth, k4);
    *q = add_frame(add_frame(add_frame(add_frame(*q, sixth, l1), third, l2), third, l3), sixth, l4);
}

/* Make the columns orthogonal and return their squared lengths. Dividing by the squares, not by the lengths, keeps
 * the square roots out of the chain from the first column to the last. */
static inline void orthogonalise(frame q, vec *c, double *squares)
{
    c[0] = (vec){q.x[0], q.y[0], q.z[0]};
    c[1] = (vec){q.x[1], q.y[1], q.z[1]};
    c[2] = (vec){q.x[2], q.y[2], q.z[2]};
    squares[0] = dot(c[0], c[0]);
    const double inverse = 1.0 / squares[0];
    c[1] = add(c[1], -dot(c[0], c[1]) * inverse, c[0]);
    c[2] = add(c[2], -dot(c[0], c[2]) * inverse, c[0]);
    squares[1] = dot(c[1], c[1]);
    c[2] = add(c[2], -dot(c[1], c[2]) / squares[1], c[1]);
    squares[2] = dot(c[2], c[2]);
}

static inline frame gathered(const vec *c)
{
    return (frame){{c[0].x, c[1].x, c[2].x, 0}, {c[0].y, c[1].y, c[2].y, 0}, {c[0].z, c[1].z, c[2].z, 0}};
}

static inline frame normalised(vec *c, const double *squares)
{
    for (int j = 0; j < 3; j++)
        c[j] = scaled(c[j], 1.0 / sqrt(squares[j]));
    return gathered(c);
}

static inline void run(const double *x0, system_t p, long n_steps, int lazy, double *exponents)
{
    vec state = {x0[0], x0[1], x0[2]}, c[3];
    frame q = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}};
    double sums[3] = {0, 0, 0};
    for (long done = 0; done < n_steps; done += EACH) {
        const long count = n_steps - done < EACH ? n_steps - done : EACH;
        double squares[3], products[3] = {1, 1, 1};
        for (long i = 0; i < count; i++) {
            step(&state, &q, p);
            orthogonalise(q, c, squares);
            if (lazy) {
                q = gathered(c);
                continue;
            }
            q = normalised(c, squares);
            for (int j = 0; j < 3; j++)
                products[j] *= squares[j];
        }
        if (lazy)
            q = normalised(c, squares);
        for (int j = 0; j < 3; j++)
            sums[j] += log(lazy ? squares[j] : products[j]);
    }
    for (int j = 0; j < 3; j++)
        exponents[j] = 0.5 * sums[j] / (n_steps * p.dt);
}

void lorenz_qr(const double *x0, double sigma, double rho, double beta, double dt, long n_steps, double *exponents)
{
    run(x0, (system_t){sigma, rho, beta, dt}, n_steps, 0, exponents);
}

void lorenz_lazy(const double *x0, double sigma, double rho, double beta, double dt, long n_steps, double *exponents)
{
    run(x0, (system_t){sigma, rho, beta, dt}, n_steps, 1, exponents);
}
