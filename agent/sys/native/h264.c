/* The few calls of OpenH264 that this program makes. In C because the structures of its interface
 * change with its versions: here the header of the library that is linked says what they are. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <wels/codec_api.h>

struct h264_settings {
  int32_t width, height;
  int32_t bits_per_second;
  int32_t frames_per_second;
  int32_t threads;
  /* Whether luma goes from 0 to 255 and the matrix is that of BT.601 (as in JPEG), or from 16 to 235
   * with the matrix of BT.709. */
  int32_t is_full_range;
};

struct h264_planes {
  const uint8_t *planes[3];
  int32_t strides[3];
  int32_t width, height;
};

struct h264_piece {
  const uint8_t *bytes;
  size_t length;
};

ISVCEncoder *bakelite_h264_open(const struct h264_settings *settings) {
  ISVCEncoder *encoder = NULL;
  if (WelsCreateSVCEncoder(&encoder) != 0 || encoder == NULL) return NULL;
  int silent = WELS_LOG_QUIET;
  (*encoder)->SetOption(encoder, ENCODER_OPTION_TRACE_LEVEL, &silent);
  SEncParamExt all;
  (*encoder)->GetDefaultParams(encoder, &all);
  all.iUsageType = SCREEN_CONTENT_REAL_TIME;
  all.iPicWidth = settings->width;
  all.iPicHeight = settings->height;
  all.iTargetBitrate = settings->bits_per_second;
  all.iMaxBitrate = UNSPECIFIED_BIT_RATE;
  all.iRCMode = RC_BITRATE_MODE;
  all.fMaxFrameRate = (float)settings->frames_per_second;
  all.bEnableFrameSkip = false;
  all.uiIntraPeriod = 0; /* key frames only when somebody needs one */
  all.eSpsPpsIdStrategy = CONSTANT_ID;
  all.iEntropyCodingModeFlag = 0; /* constrained baseline: what every decoder takes */
  all.iMultipleThreadIdc = (unsigned short)settings->threads;
  all.bEnableDenoise = false;
  all.bEnableBackgroundDetection = false;
  all.bEnableSceneChangeDetect = false;
  SSpatialLayerConfig *layer = &all.sSpatialLayers[0];
  layer->iVideoWidth = settings->width;
  layer->iVideoHeight = settings->height;
  layer->fFrameRate = all.fMaxFrameRate;
  layer->iSpatialBitrate = settings->bits_per_second;
  layer->iMaxSpatialBitrate = UNSPECIFIED_BIT_RATE;
  layer->uiProfileIdc = PRO_BASELINE;
  layer->sSliceArgument.uiSliceMode = settings->threads > 1 ? SM_FIXEDSLCNUM_SLICE : SM_SINGLE_SLICE;
  layer->sSliceArgument.uiSliceNum = (unsigned)settings->threads;
  layer->bVideoSignalTypePresent = true;
  layer->uiVideoFormat = VF_UNDEF;
  layer->bFullRange = settings->is_full_range != 0;
  layer->bColorDescriptionPresent = true;
  layer->uiColorPrimaries = CP_BT709;
  layer->uiTransferCharacteristics = TRC_BT709;
  layer->uiColorMatrix = settings->is_full_range ? CM_SMPTE170M : CM_BT709;
  int format = videoFormatI420;
  if ((*encoder)->InitializeExt(encoder, &all) != cmResultSuccess ||
      (*encoder)->SetOption(encoder, ENCODER_OPTION_DATAFORMAT, &format) != cmResultSuccess) {
    WelsDestroySVCEncoder(encoder);
    return NULL;
  }
  return encoder;
}

/* Encodes a picture. Returns the number of pieces that make up the access unit, 0 if the picture was
 * left out, or a negative number. The pieces live until the next call. */
int bakelite_h264_encode(ISVCEncoder *encoder, const struct h264_planes *planes, int64_t milliseconds,
                         int force_key, struct h264_piece *pieces, int room, int *is_key) {
  if (force_key) (*encoder)->ForceIntraFrame(encoder, true);
  SSourcePicture picture;
  memset(&picture, 0, sizeof picture);
  picture.iColorFormat = videoFormatI420;
  picture.iPicWidth = planes->width;
  picture.iPicHeight = planes->height;
  picture.uiTimeStamp = milliseconds;
  for (int plane = 0; plane < 3; plane++) {
    picture.pData[plane] = (unsigned char *)planes->planes[plane];
    picture.iStride[plane] = planes->strides[plane];
  }
  SFrameBSInfo unit;
  memset(&unit, 0, sizeof unit);
  if ((*encoder)->EncodeFrame(encoder, &picture, &unit) != cmResultSuccess) return -1;
  *is_key = unit.eFrameType == videoFrameTypeIDR;
  if (unit.eFrameType == videoFrameTypeSkip || unit.eFrameType == videoFrameTypeInvalid) return 0;
  if (unit.iLayerNum > room) return -2;
  for (int number = 0; number < unit.iLayerNum; number++) {
    const SLayerBSInfo *layer = &unit.sLayerInfo[number];
    pieces[number].bytes = layer->pBsBuf;
    pieces[number].length = 0;
    for (int nal = 0; nal < layer->iNalCount; nal++)
      pieces[number].length += (size_t)layer->pNalLengthInByte[nal];
  }
  return unit.iLayerNum;
}

void bakelite_h264_close(ISVCEncoder *encoder) {
  (*encoder)->Uninitialize(encoder);
  WelsDestroySVCEncoder(encoder);
}
