/** The two programs of the graphics card: where a machine's point goes, and what it looks like. */

export const VERTEX = `#version 300 es
precision highp float;
layout(location=0) in vec2 place;
layout(location=1) in vec2 before;
layout(location=2) in vec4 motion;   // heading, heading before, speed, charge, each of 255
layout(location=3) in vec4 kind;     // state, class, site, nothing
uniform vec2 fromMiddle;             // of the frame's anchor, m
uniform vec2 toClip;                 // per m
uniform float progress;
uniform float pointPx;
uniform int colourBy;
uniform uint states;                 // a bit for each that is shown
uniform uint classes;
uniform vec3 stateColours[10];
uniform vec3 ramp[5];
uniform vec3 kinds[8];
uniform float rampSpeed;
out vec3 colour;
out vec2 ahead;
flat out int isFaulted;
flat out float charge;

const float TURN = 6.2831853;

vec3 onRamp(float share) {
  float at = clamp(share, 0.0, 1.0) * 4.0;
  int low = min(int(at), 3);
  return mix(ramp[low], ramp[low + 1], at - float(low));
}

void main() {
  int state = int(kind.x * 255.0 + 0.5);
  int class_ = int(kind.y * 255.0 + 0.5);
  int site = int(kind.z * 255.0 + 0.5);
  bool isShown = (states >> uint(min(state, 31)) & 1u) == 1u && (class_ > 31 || (classes >> uint(class_) & 1u) == 1u);
  vec2 at = mix(before, place, progress) + fromMiddle;
  gl_Position = isShown ? vec4(at * toClip, 0.0, 1.0) : vec4(2.0, 2.0, 2.0, 1.0);
  isFaulted = state == 8 ? 1 : 0;
  gl_PointSize = pointPx * (isFaulted == 1 && pointPx < 12.0 ? 1.6 : 1.0);
  // In turns; the shorter way round.
  float turnedFrom = motion.y * 255.0 / 256.0;
  float apart = motion.x * 255.0 / 256.0 - turnedFrom;
  apart -= floor(apart + 0.5);
  float heading = (turnedFrom + apart * progress) * TURN;
  ahead = vec2(cos(heading), sin(heading));
  charge = motion.w;
  if (colourBy == 1) colour = onRamp(motion.w);
  else if (colourBy == 2) colour = onRamp(motion.z * 25.5 / rampSpeed);
  else if (colourBy == 3) colour = class_ > 31 ? vec3(0.55) : kinds[class_ & 7];
  else if (colourBy == 4) colour = kinds[site & 7];
  else colour = stateColours[min(state, 9)];
}`;

export const FRAGMENT = `#version 300 es
precision highp float;
in vec3 colour;
in vec2 ahead;
flat in int isFaulted;
flat in float charge;
uniform float pointPx;
uniform float shapeFrom;   // px from which a machine is a shape and no dot
uniform vec3 outline;
out vec4 painted;

float box(vec2 at, vec2 half_, float round_) {
  vec2 d = abs(at) - half_ + round_;
  return length(max(d, 0.0)) + min(max(d.x, d.y), 0.0) - round_;
}

void main() {
  vec2 at = gl_PointCoord * 2.0 - 1.0;
  at.y = -at.y;
  float px = 2.0 / (pointPx * (isFaulted == 1 && pointPx < 12.0 ? 1.6 : 1.0));
  if (pointPx < shapeFrom) {
    // A dot with a rim; what is faulted is a square on its corner.
    float d = isFaulted == 1 ? (abs(at.x) + abs(at.y)) - 0.95 : length(at) - 0.92;
    float cover = clamp(0.5 - d / px, 0.0, 1.0);
    float inner = clamp(0.5 - (d + px * 1.3) / px, 0.0, 1.0);
    float rim = smoothstep(3.0, 9.0, pointPx);
    painted = vec4(mix(mix(colour, outline, rim), colour, inner), cover);
  } else {
    // Along x what is ahead: a body with a rounded nose, wheels beside it, and the charge as a bar across.
    vec2 own = vec2(at.x * ahead.x + at.y * ahead.y, -at.x * ahead.y + at.y * ahead.x);
    float taper = 1.0 - 0.55 * smoothstep(0.1, 0.8, own.x);
    float body = box(vec2(own.x, own.y / taper), vec2(0.74, 0.34), 0.16);
    vec2 wheel = vec2(abs(own.x) - 0.42, abs(own.y) - (own.x > 0.0 ? 0.34 : 0.42));
    float wheels = box(wheel, vec2(0.17, 0.09), 0.05);
    float d = min(body, wheels);
    float rimPx = px * (pointPx > 20.0 ? 1.8 : 1.2);
    float cover = clamp(0.5 - (d - rimPx) / px, 0.0, 1.0);
    vec3 fill = d < 0.0 ? colour : outline;
    if (wheels < 0.0 && body > 0.0) fill = outline;
    if (pointPx > 26.0) {
      vec2 gauge = own + vec2(0.14, 0.0);
      float frame = box(gauge, vec2(0.38, 0.13), 0.05);
      if (frame < 0.0) fill = (gauge.x + 0.38) / 0.76 < charge ? mix(colour, vec3(1.0), 0.75) : outline;
    }
    painted = vec4(fill, cover);
  }
  painted.rgb *= painted.a;
}`;
