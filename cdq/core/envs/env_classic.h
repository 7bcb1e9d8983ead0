/* Gymnasium's classic control, operation by operation (gymnasium/envs/classic_control, 1.4), so that a step is the
 * same to the last bits; observations are rounded to float32 as Gymnasium's are. */
#ifndef CDQ_ENV_CLASSIC_H
#define CDQ_ENV_CLASSIC_H

#include <math.h>

#include "base.h"
#include "lane.h"

#define CDQ_PI 3.141592653589793

CDQ_INLINE void cdq_observe(cdq_lane *lane, const double *seen, int n)
{
    for (int i = 0; i < n; i++)
        lane->observation[i] = (double)(float)seen[i];
}

CDQ_INLINE double cdq_clip(double x, double low, double high) { return x < low ? low : x > high ? high : x; }

CDQ_INLINE double cdq_between(double u, double low, double high) { return low + (high - low) * u; }

/* ---- MountainCar: position, velocity. */

static void cdq_car_reset(cdq_lane *lane)
{
    lane->state[0] = cdq_between(lane->uniform[0], -0.6, -0.4);
    lane->state[1] = 0.0;
    cdq_observe(lane, lane->state, 2);
}

static void cdq_car_step(cdq_lane *lane)
{
    double position = lane->state[0], velocity = lane->state[1];
    velocity += (double)(lane->action - 1) * 0.001 + cos(3 * position) * (-0.0025);
    velocity = cdq_clip(velocity, -0.07, 0.07);
    position = cdq_clip(position + velocity, -1.2, 0.6);
    if (position == -1.2 && velocity < 0)
        velocity = 0;
    lane->state[0] = position;
    lane->state[1] = velocity;
    lane->reward = -1.0;
    lane->terminated = position >= 0.5 && velocity >= 0;
    cdq_observe(lane, lane->state, 2);
}

/* ---- CartPole: position, velocity, angle, angular velocity. */

/* Mass of the pole, and half of its length. */
typedef struct {
    double mass, length;
} cdq_pole;

static const cdq_pole cdq_usual_pole = {0.1, 0.5};

static void cdq_pole_reset(cdq_lane *lane)
{
    for (int i = 0; i < 4; i++)
        lane->state[i] = cdq_between(lane->uniform[i], -0.05, 0.05);
    cdq_observe(lane, lane->state, 4);
}

static void cdq_pole_step(cdq_lane *lane)
{
    const cdq_pole *own = lane->context ? (const cdq_pole *)lane->context : &cdq_usual_pole;
    const double total_mass = own->mass + 1.0, pole = own->mass * own->length, threshold = 12 * 2 * CDQ_PI / 360;
    double x = lane->state[0], x_dot = lane->state[1], theta = lane->state[2], theta_dot = lane->state[3];
    double force = lane->action == 1 ? 10.0 : -10.0, costheta = cos(theta), sintheta = sin(theta);
    double temp = (force + pole * (theta_dot * theta_dot) * sintheta) / total_mass;
    double thetaacc = (9.8 * sintheta - costheta * temp) /
                      (own->length * (4.0 / 3.0 - own->mass * (costheta * costheta) / total_mass));
    double xacc = temp - pole * thetaacc * costheta / total_mass;
    lane->state[0] = x += 0.02 * x_dot;
    lane->state[1] = x_dot + 0.02 * xacc;
    lane->state[2] = theta += 0.02 * theta_dot;
    lane->state[3] = theta_dot + 0.02 * thetaacc;
    lane->reward = 1.0;
    lane->terminated = x < -2.4 || x > 2.4 || theta < -threshold || theta > threshold;
    cdq_observe(lane, lane->state, 4);
}

/* ---- Acrobot: two angles, two angular velocities. */

static void cdq_acrobot_observe(cdq_lane *lane)
{
    const double *s = lane->state;
    double seen[6] = {cos(s[0]), sin(s[0]), cos(s[1]), sin(s[1]), s[2], s[3]};
    cdq_observe(lane, seen, 6);
}

static void cdq_acrobot_reset(cdq_lane *lane)
{
    for (int i = 0; i < 4; i++)
        lane->state[i] = (double)(float)cdq_between(lane->uniform[i], -0.1, 0.1);
    cdq_acrobot_observe(lane);
}

/* The equations of Sutton and Barto's book; masses, lengths and moments of inertia are 1, centres of mass at 0.5. */
CDQ_INLINE void cdq_acrobot_slope(const double *s, double torque, double *slope)
{
    const double g = 9.8, lc = 0.5;
    double c2 = cos(s[1]), s2 = sin(s[1]);
    double d1 = lc * lc + (1.0 + lc * lc + 2 * lc * c2) + 1.0 + 1.0;
    double d2 = (lc * lc + lc * c2) + 1.0;
    double phi2 = lc * g * cos(s[0] + s[1] - CDQ_PI / 2.0);
    double phi1 = -lc * (s[3] * s[3]) * s2 - 2 * lc * s[3] * s[2] * s2 + (lc + 1.0) * g * cos(s[0] - CDQ_PI / 2) + phi2;
    double second = (torque + d2 / d1 * phi1 - lc * (s[2] * s[2]) * s2 - phi2) / (lc * lc + 1.0 - d2 * d2 / d1);
    slope[0] = s[2];
    slope[1] = s[3];
    slope[2] = -(d2 * second + phi1) / d1;
    slope[3] = second;
}

/* A step of the classical fourth-order Runge-Kutta method. */
static void cdq_acrobot_integrate(double *s, double torque, double dt)
{
    double k[4][4], at[4];
    cdq_acrobot_slope(s, torque, k[0]);
    for (int stage = 1; stage < 4; stage++) {
        for (int i = 0; i < 4; i++)
            at[i] = s[i] + (stage < 3 ? dt / 2.0 : dt) * k[stage - 1][i];
        cdq_acrobot_slope(at, torque, k[stage]);
    }
    for (int i = 0; i < 4; i++)
        s[i] += dt / 6.0 * (k[0][i] + 2 * k[1][i] + 2 * k[2][i] + k[3][i]);
}

CDQ_INLINE double cdq_wrap(double x)
{
    while (x > CDQ_PI)
        x -= 2 * CDQ_PI;
    while (x < -CDQ_PI)
        x += 2 * CDQ_PI;
    return x;
}

static void cdq_acrobot_step(cdq_lane *lane)
{
    double *s = lane->state;
    cdq_acrobot_integrate(s, (double)(lane->action - 1), 0.2);
    s[0] = cdq_wrap(s[0]);
    s[1] = cdq_wrap(s[1]);
    s[2] = cdq_clip(s[2], -4 * CDQ_PI, 4 * CDQ_PI);
    s[3] = cdq_clip(s[3], -9 * CDQ_PI, 9 * CDQ_PI);
    lane->terminated = -cos(s[0]) - cos(s[1] + s[0]) > 1.0;
    lane->reward = lane->terminated ? 0.0 : -1.0;
    cdq_acrobot_observe(lane);
}

#endif
