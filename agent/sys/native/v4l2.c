/* What the kernel's own header says of the structures and numbers that `src/v4l2/raw.rs` writes down, for
 * the test that compares them. */

#define _DEFAULT_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>
#include <time.h>
#include <linux/videodev2.h>

const uint64_t bakelite_v4l2_facts[] = {
  sizeof(struct v4l2_plane),
  offsetof(struct v4l2_plane, m),
  offsetof(struct v4l2_plane, data_offset),
  sizeof(struct v4l2_pix_format_mplane),
  offsetof(struct v4l2_pix_format_mplane, plane_fmt),
  offsetof(struct v4l2_pix_format_mplane, num_planes),
  offsetof(struct v4l2_pix_format_mplane, ycbcr_enc),
  offsetof(struct v4l2_pix_format_mplane, quantization),
  sizeof(struct v4l2_plane_pix_format),
  offsetof(struct v4l2_plane_pix_format, bytesperline),
  offsetof(struct v4l2_format, fmt),
  sizeof(struct v4l2_buffer),
  offsetof(struct v4l2_buffer, m),
  offsetof(struct v4l2_buffer, length),
  sizeof(struct v4l2_control),
  V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE,
  V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE,
  V4L2_CAP_VIDEO_M2M_MPLANE,
  V4L2_BUF_FLAG_KEYFRAME,
  V4L2_CID_MPEG_VIDEO_BITRATE,
  V4L2_CID_MPEG_VIDEO_REPEAT_SEQ_HEADER,
  V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME,
  V4L2_CID_MPEG_VIDEO_H264_I_PERIOD,
  V4L2_CID_MPEG_VIDEO_H264_LEVEL,
  V4L2_CID_MPEG_VIDEO_H264_PROFILE,
  V4L2_MPEG_VIDEO_H264_LEVEL_4_0,
  V4L2_MPEG_VIDEO_H264_PROFILE_CONSTRAINED_BASELINE,
  V4L2_COLORSPACE_REC709,
  V4L2_COLORSPACE_JPEG,
  V4L2_QUANTIZATION_FULL_RANGE,
  V4L2_QUANTIZATION_LIM_RANGE,
  VIDIOC_S_CTRL,
  VIDIOC_S_FMT,
  VIDIOC_QBUF,
};
const uint64_t bakelite_v4l2_fact_count = sizeof(bakelite_v4l2_facts) / sizeof(bakelite_v4l2_facts[0]);
